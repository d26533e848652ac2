from typing import Any

from tsujiban.kernel.held import HeldChain, read
from tsujiban.kernel.table import Hook, Set


def item(kind: str, **fields: Any) -> dict[str, Any]:
    return {kind: {"family": "inet", "table": "t", **fields}}


def test_a_listing_is_read_into_canonical_form() -> None:
    held = read(
        [
            {"metainfo": {"version": "1.0.6"}},
            item("table", name="t"),
            item("counter", name="c", packets=1, bytes=2),
            item(
                "set",
                name="i",
                type="ipv4_addr",
                flags=["interval"],
                elem=[
                    "10.0.0.1",
                    {"prefix": {"addr": "10.1.0.0", "len": 24}},
                    {"range": ["10.2.0.0", "10.2.0.5"]},
                ],
            ),
            item("set", name="p", type="inet_service", flags="interval", elem=[80, {"range": [443, 500]}]),
            item("set", name="s", type=["ipv4_addr", "inet_proto"], elem=[{"concat": ["10.0.0.1", 6]}]),
            item("set", name="e", type="ipv4_addr", elem=[{"elem": {"val": "10.0.0.1", "comment": "x"}}]),
            item(
                "map",
                name="m",
                type="ifname",
                map="verdict",
                elem=[["tsja", {"jump": {"target": "x"}}], ["b", {"drop": None}]],
            ),
            item(
                "map",
                name="d",
                type="ipv4_addr",
                map=["ipv4_addr", "inet_service"],
                elem=[["10.0.0.1", {"concat": ["10.0.0.2", 80]}]],
            ),
            item("chain", name="base", type="filter", hook="forward", prio=-1, policy="accept"),
            item("chain", name="x"),
            item("rule", chain="x", comment="m1", expr=[{"accept": None}]),
            item("rule", chain="x", expr=[{"drop": None}]),
        ]
    )
    assert held.counters == {"c"}
    assert held.chains == {
        "base": HeldChain(Hook("filter", "forward", -1), ()),
        "x": HeldChain(None, ("m1", "")),
    }
    elements = {name: dict(found.elements) for name, found in held.sets.items()}
    assert elements == {
        "i": {"10.0.0.1": "", "10.1.0.0-10.1.0.255": "", "10.2.0.0-10.2.0.5": ""},
        "p": {"80": "", "443-500": ""},
        "s": {"10.0.0.1 . 6": ""},
        "e": {"10.0.0.1": ""},
        "m": {"tsja": "jump x", "b": "drop"},
        "d": {"10.0.0.1": "10.0.0.2 . 80"},
    }
    assert held.sets["i"].shape() == Set("i", "ipv4_addr", interval=True).shape()
    assert held.sets["d"].shape() == ("ipv4_addr", "ipv4_addr . inet_service", False, 0, 0)


def test_what_rules_put_into_a_set_is_not_read() -> None:
    listed = item("set", name="s", type="ifname", flags=["timeout"], size=9, timeout=60, elem=["tsja"])
    found = read([listed]).sets["s"]
    assert found == Set("s", "ifname", size=9, timeout=60)
    assert found.shape() != Set("s", "ifname").shape()
    del listed["set"]["timeout"]
    assert read([listed]).sets["s"] == Set("s", "ifname", size=9)


def test_a_dormant_table_shows() -> None:
    assert read([item("table", name="t", flags="dormant")]).flags == {"dormant"}


def test_a_rule_that_keeps_its_comment_only_is_a_stranger() -> None:
    known: dict[str, str] = {}
    counted = item(
        "rule", chain="x", comment="m", expr=[{"counter": {"packets": 1, "bytes": 9}}, {"drop": None}]
    )
    again = item(
        "rule", chain="x", comment="m", expr=[{"counter": {"packets": 5, "bytes": 9}}, {"drop": None}]
    )
    forged = item("rule", chain="x", comment="m", expr=[{"accept": None}])
    chain = item("chain", name="x")
    assert read([chain, counted], known).chains["x"].marks == ("m",)
    assert read([chain, again], known).chains["x"].marks == ("m",)
    assert read([chain, forged], known).chains["x"].marks == ("",)
