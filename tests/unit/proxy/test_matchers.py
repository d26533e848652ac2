from __future__ import annotations

import re

import pytest
from tests.support.matching import reached
from xds.type.matcher.v3 import ip_pb2

from tsujiban.proxy import matchers
from tsujiban.proxy.decisions import AllOf, AnyOf, Not, Predicate, SourcePort, Text

RANGES = [(0, 0), (0, 65535), (1, 1023), (80, 443), (8080, 8099), (999, 1000), (1024, 65535), (30000, 32767)]


@pytest.mark.parametrize(("first", "last"), RANGES)
def test_a_port_range_is_an_expression_of_exactly_its_numbers(first: int, last: int) -> None:
    expression = re.compile(matchers.range_regex(first, last))
    for number in range(65536):
        assert bool(expression.fullmatch(str(number))) is (first <= number <= last), number


def test_lookups_with_nothing_to_look_up_are_their_default() -> None:
    target = matchers.chain_action("x")
    assert matchers.exact(matchers.SOURCE_IP, {}, target) == target
    assert matchers.longest_prefix(matchers.SOURCE_IP, [], target) == target
    assert matchers.ordered([], target) == target


def test_addresses_and_networks_are_prefixes() -> None:
    nets = ["10.0.0.1", "10.0.0.0/8", "::1", "0.0.0.0/0"]
    tree = matchers.longest_prefix(matchers.SOURCE_IP, [(nets, matchers.chain_action("x"))], None)
    config = tree["matcher"]["matcher_tree"]["custom_match"]["typed_config"]
    assert [one["prefix_len"] for one in config["range_matchers"][0]["ranges"]] == [32, 8, 128, 0]


def test_networks_are_encoded_once_as_the_library_does() -> None:
    nets = ["10.0.0.1", "10.0.0.0/8", "fd00::/8"]
    found = matchers.networks(nets)
    message = ip_pb2.IPMatcher.IPRangeMatcher()
    for one in found:
        message.ranges.add(address_prefix=one["address_prefix"]).prefix_len.value = one["prefix_len"]
    assert found.wire == message.SerializeToString()
    assert len(found) == len(nets)
    assert found.digest == matchers.networks(nets).digest
    assert found.digest != matchers.networks(nets[1:]).digest


def test_an_address_is_of_a_version_and_what_is_none_leads_nowhere() -> None:
    one, other = matchers.chain_action("x"), matchers.chain_action("y")
    for targets in ({4: one, 6: other}, {4: one, 6: one}):
        parted = matchers.anywhere(matchers.SOURCE_IP, targets)["matcher"]
        for version, address in ((4, "192.0.2.1"), (6, "2001:db8::1")):
            found = reached(parted, {"SourceIPInput": address}.__getitem__)
            assert found == targets[version]["action"]["typed_config"]
        assert reached(parted, {"SourceIPInput": "@internal"}.__getitem__) is None


def test_predicates_keep_their_shape() -> None:
    get = Text(header=":method", exact="GET")
    both = matchers.predicate(AllOf(terms=(get, Not(term=get))))
    assert set(both) == {"and_matcher"}
    assert set(both["and_matcher"]["predicate"][1]) == {"not_matcher"}
    assert set(matchers.predicate(AnyOf(terms=(get, get)))) == {"or_matcher"}
    port = matchers.predicate(SourcePort(first=80, last=80))
    assert port["single_predicate"]["value_match"] == {"safe_regex": {"google_re2": {}, "regex": "80"}}


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (Text(header="h", exact="v", ignore_case=True), {"exact": "v", "ignore_case": True}),
        (Text(header="h", exact=""), {"exact": ""}),
        (Text(header="h", prefix="v"), {"prefix": "v"}),
        (Text(header="h", suffix="v"), {"suffix": "v"}),
        (Text(header="h", prefix=""), {"safe_regex": {"google_re2": {}, "regex": ".*"}}),
        (Text(header="h", regex="v+"), {"safe_regex": {"google_re2": {}, "regex": "v+"}}),
    ],
)
def test_value_forms(text: Text, form: dict[str, object]) -> None:
    assert matchers.predicate(text)["single_predicate"]["value_match"] == form


def test_an_unknown_predicate_is_an_error() -> None:
    with pytest.raises(TypeError):
        matchers.predicate(Predicate())
