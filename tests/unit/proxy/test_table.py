from __future__ import annotations

from tsujiban.proxy.decisions import Leaf
from tsujiban.proxy.table import LAST_PORT, Interval, Intervals, Row, Table


def every(rule: str) -> Intervals:
    return (Interval(first=0, last=LAST_PORT, decision=Leaf(allow=True, rules=(rule,))),)


REST = {4: every("rest"), 6: every("rest6")}
ROWS = {
    "id:a": (Row(prefixes=("10.0.0.1",), intervals=every("a")),),
    "": (
        Row(prefixes=("10.1.0.0/16",), intervals=every("wide")),
        Row(prefixes=("10.1.1.0/24", "10.1.2.1"), intervals=every("narrow")),
    ),
}


def table() -> Table:
    def unlisted(identity: str, address: str) -> Intervals | None:
        return every("unlisted") if (identity, address) in {("id:b", "10.0.0.2"), ("", "10.1.3.1")} else None

    return Table(ROWS, REST, unlisted, owned=("10.9.0.0/16",))


def found(identity: str, address: str) -> str:
    decision = table().find(identity, address, 80)
    assert decision is None or isinstance(decision, Leaf)
    return "" if decision is None else decision.rules[0]


def test_an_identity_is_looked_up_by_the_very_address() -> None:
    assert found("id:a", "10.0.0.1") == "a"
    assert found("id:a", "10.1.2.1") == ""
    assert found("id:b", "10.0.0.2") == "unlisted"
    assert found("id:b", "10.0.0.1") == ""


def test_without_an_identity_the_smallest_network_counts() -> None:
    assert found("", "10.1.5.5") == "wide"
    assert found("", "10.1.1.5") == "narrow"
    assert found("", "10.1.2.1") == "narrow"
    assert found("", "10.1.3.1") == "unlisted"
    assert found("", "192.0.2.1") == "rest"
    assert found("", "fd00::1") == "rest6"


def test_an_address_in_an_owned_network_that_is_not_known_is_nobodys() -> None:
    assert found("", "10.9.1.1") == ""


def test_each_port_has_its_interval() -> None:
    low, high = every("low")[0].decision, every("high")[0].decision
    intervals = (
        Interval(first=0, last=79, decision=low),
        Interval(first=80, last=LAST_PORT, decision=high),
    )
    made = Table({}, {4: intervals}, lambda _identity, _address: None)
    assert [made.find("", "10.0.0.1", port) for port in (0, 79, 80, LAST_PORT)] == [low, low, high, high]


def test_what_is_made_of_it_is_made_once_until_what_goes_in_changes() -> None:
    one = table()
    first: list[int] = one.once("a", (1,), list)
    assert one.once("a", (1,), list) is first
    assert one.once("b", (1,), list) is not first
    assert one.once("a", (2,), list) is not first
    assert table().once("a", (1,), list) is not first
