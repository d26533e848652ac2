"""Envoy's generic matchers (xds.type.matcher.v3), as plain data.

Plain dicts, because they are hashed canonically for a resource's version (protobuf maps have no
stable order), and turned into messages only when that version is new.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from xds.type.matcher.v3 import ip_pb2

from tsujiban.proxy import names
from tsujiban.proxy.decisions import AllOf, AnyOf, Claim, Not, Predicate, SourcePort, Text, Unreadable
from tsujiban.proxy.encode import Encoded, Typed, fill

Json = dict[str, Any]

_TYPE = "type.googleapis.com/"
ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}  # by IP version
_NETWORK = _TYPE + "envoy.extensions.matching.common_inputs.network.v3."


def typed(type_name: str, **fields: Any) -> Json:
    """A google.protobuf.Any of a message, in its JSON form."""
    return Typed({"@type": _TYPE + type_name, **fields})


def untyped(type_name: str, **fields: Any) -> Json:
    """The same of a message, or of fields, that the installed protobuf stubs do not know."""
    return typed("xds.type.v3.TypedStruct", type_url=_TYPE + type_name, value=fields)


def _input(name: str, **fields: Any) -> Json:
    return {"name": name, "typed_config": Typed({"@type": _NETWORK + name, **fields})}


DESTINATION_IP = _input("DestinationIPInput")
DESTINATION_PORT = _input("DestinationPortInput")
SOURCE_IP = _input("SourceIPInput")
SOURCE_PORT = _input("SourcePortInput")
TRANSPORT_PROTOCOL = _input("TransportProtocolInput")
APPLICATION_PROTOCOL = _input("ApplicationProtocolInput")
URI_SAN: Json = {
    "name": "UriSanInput",
    "typed_config": typed("envoy.extensions.matching.common_inputs.ssl.v3.UriSanInput"),
}


def filter_state(key: str) -> Json:
    """The string form of a filter state object."""
    return _input("FilterStateInput", key=key)


def header(name: str) -> Json:
    """An HTTP request header."""
    return {
        "name": f"header {name}",
        "typed_config": typed("envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name=name),
    }


@lru_cache(4096)  # the same ones stand in many places
def rbac_action(name: str, *, allow: bool) -> Json:
    """On match: an RBAC filter's verdict, named."""
    return {
        "action": {
            "name": "verdict",
            "typed_config": typed(
                "envoy.config.rbac.v3.Action", name=name, action="ALLOW" if allow else "DENY"
            ),
        }
    }


@lru_cache(4096)
def chain_action(name: str) -> Json:
    """On match: a listener's filter chain."""
    return {"action": {"name": "chain", "typed_config": typed("google.protobuf.StringValue", value=name)}}


def exact(source: Json, table: dict[str, Json], otherwise: Json | None) -> Json:
    """On match: look a value up."""
    if not table and otherwise is not None:
        return otherwise
    matcher: Json = {"matcher_tree": {"input": source, "exact_match_map": {"map": table}}}
    if otherwise is not None:
        matcher["on_no_match"] = otherwise
    return {"matcher": matcher}


def prefixes(source: Json, table: dict[str, Json], otherwise: Json) -> Json:
    """On match: the longest of these texts that a value begins with."""
    return {
        "matcher": {
            "matcher_tree": {"input": source, "prefix_match_map": {"map": table}},
            "on_no_match": otherwise,
        }
    }


def longest_prefix(
    source: Json, ranges: Iterable[tuple[Iterable[str] | Encoded, Json]], otherwise: Json | None
) -> Json:
    """On match: the most specific network that holds an address. What is said of all other addresses belongs
    in `otherwise`: beside 0.0.0.0/0 each network costs Envoy 1.40 more than half as much again."""
    listed = [
        {
            "ranges": nets if isinstance(nets, Encoded) else networks(nets),
            "on_match": target,
            "exclusive": True,
        }
        for nets, target in ranges
    ]
    if not listed and otherwise is not None:
        return otherwise
    config = typed("xds.type.matcher.v3.IPMatcher", range_matchers=listed)
    custom = {"name": "ip", "typed_config": config}
    matcher: Json = {"matcher_tree": {"input": source, "custom_match": custom}}
    if otherwise is not None:
        matcher["on_no_match"] = otherwise
    return {"matcher": matcher}


def anywhere(source: Json, targets: dict[int, Json]) -> Json:
    """On match: by IP version. What is no address leads nowhere."""
    return longest_prefix(source, [((ANYWHERE[version],), one) for version, one in targets.items()], None)


def ordered(steps: list[tuple[Json, Json]], otherwise: Json | None) -> Json:
    """On match: the first (predicate, target) that holds."""
    if not steps and otherwise is not None:
        return otherwise
    listed = [{"predicate": test, "on_match": target} for test, target in steps]
    matcher: Json = {"matcher_list": {"matchers": listed}}
    if otherwise is not None:
        matcher["on_no_match"] = otherwise
    return {"matcher": matcher}


def regex(expression: str) -> Json:
    """An RE2 expression that the whole value must match."""
    return {"google_re2": {}, "regex": expression}


def value(source: Json, **match: Any) -> Json:
    """A predicate: an input compared with a StringMatcher."""
    return {"single_predicate": {"input": source, "value_match": match}}


def predicate(test: Predicate) -> Json:
    """A decision's predicate."""
    if isinstance(test, Text):
        return value(header(test.header), **_string(test))
    if isinstance(test, Claim):
        return _claim(test)
    if isinstance(test, Unreadable):
        marked = {"string_match": {"safe_regex": regex(".+")}}
        return noted(names.HEADERS, (names.UNREADABLE,), marked)
    if isinstance(test, SourcePort):
        return value(SOURCE_PORT, safe_regex=regex(range_regex(test.first, test.last)))
    if isinstance(test, Not):
        return {"not_matcher": predicate(test.term)}
    if isinstance(test, AllOf):
        return {"and_matcher": {"predicate": [predicate(term) for term in test.terms]}}
    if isinstance(test, AnyOf):
        return {"or_matcher": {"predicate": [predicate(term) for term in test.terms]}}
    raise TypeError(f"no such predicate: {test!r}")


def noted(owner: str, path: Iterable[str], expected: Json) -> Json:
    """A predicate: what the filter `owner` has noted of the request."""
    found = _input("DynamicMetadataInput", filter=owner, path=[{"key": part} for part in path])
    custom = typed("envoy.extensions.matching.input_matchers.metadata.v3.Metadata", value=expected)
    return {"single_predicate": {"input": found, "custom_match": {"name": "noted", "typed_config": custom}}}


def _claim(test: Claim) -> Json:
    text: Json = {"string_match": _string(test)}
    forms = [text, {"list_match": {"one_of": text}}] if test.listed else [text]
    if test.words:
        forms[0] = {"string_match": {"safe_regex": regex(_word(test))}}
    expected = {"or_match": {"value_matchers": forms}} if len(forms) > 1 else text
    return noted(names.JWT_FILTER, (names.CLAIMS, *test.path), expected)


def _word(test: Claim) -> str:
    """A string of words, parted by spaces, of which one matches. A value with a space is none."""
    if test.exact is not None:
        inner = re.escape(test.exact)
    elif test.prefix is not None:
        inner = re.escape(test.prefix) + "[^ ]*"
    elif test.suffix is not None:
        inner = "[^ ]*" + re.escape(test.suffix)
    else:
        inner = "[^ ]+"
    return "$." if " " in inner.replace("[^ ]", "") else f"(?s)(.* )?{inner}( .*)?"


def _string(test: Text | Claim) -> Json:
    flags: Json = {"ignore_case": True} if isinstance(test, Text) and test.ignore_case else {}
    if test.exact is not None:
        return {"exact": test.exact, **flags}
    if test.prefix:
        return {"prefix": test.prefix, **flags}
    if test.suffix:
        return {"suffix": test.suffix, **flags}
    return {"safe_regex": regex(test.regex or ".*")}  # an empty prefix or suffix is any value


def networks(nets: Iterable[str]) -> Encoded:
    """Addresses and networks, as `longest_prefix` takes them."""
    listed = list(nets)
    return Encoded([_cidr(net) for net in listed], b"".join(map(_range, listed)))


@lru_cache(1 << 17)  # of a set of many most stay when one comes
def _cidr(net: str) -> Json:
    address, slash, length = net.partition("/")
    bits = int(length) if slash else 128 if ":" in address else 32
    return {"address_prefix": address, "prefix_len": bits}


@lru_cache(1 << 17)
def _range(net: str) -> bytes:
    message = ip_pb2.IPMatcher.IPRangeMatcher()
    fill(message, {"ranges": [_cidr(net)]})
    wire: bytes = message.SerializeToString()
    return wire


def range_regex(first: int, last: int) -> str:
    """RE2 expression of the decimal numbers first to last: Envoy's port inputs are text."""
    parts: list[str] = []
    low = first
    while low <= last:
        step = 1
        while low % (step * 10) == 0 and low + step * 10 - 1 <= last and step * 10 <= max(low, 1):
            step *= 10
        span = min(9 - (low // step) % 10, (last - low + 1) // step - 1)
        digit = (low // step) % 10
        head = str(low // step // 10) if low // step >= 10 else ""
        choice = str(digit) if span == 0 else f"[{digit}-{digit + span}]"
        parts.append(head + choice + "[0-9]" * (len(str(step)) - 1))
        low += (span + 1) * step
    return "|".join(parts)
