"""The keeper's dealings with the kernel are tested in tests/system/kernel/test_apply.py."""

from tsujiban.kernel.held import Held
from tsujiban.kernel.keeper import compare
from tsujiban.kernel.table import Chain, Set, Table


def held(*items: Chain | Set, counters: dict[str, str] | None = None) -> Held:
    made = Table("t", counters=counters or {})
    for item in items:
        made.add(item)
    return Held.of(made)


def test_equal_tables_have_no_differences() -> None:
    made = held(Chain("x", ("accept",)), Set("s", "ipv4_addr"), counters={"c": ""})
    assert compare(made, made) == ()


def test_differences_in_words() -> None:
    expected = held(Chain("x", ("accept",)), Chain("y", ()), Set("s", "ipv4_addr"), counters={"c": ""})
    found = held(
        Chain("x", ()), Chain("z", ()), Set("s", "ipv4_addr", {"10.0.0.1": ""}), Set("m", "ipv4_addr")
    )
    found.flags = frozenset({"dormant"})
    assert compare(expected, found) == (
        "chain x was changed",
        "chain y is gone",
        "chain z is not ours",
        "set m is not ours",
        "set s was changed",
        "the table is dormant",
        "counter c is gone",
    )
    assert compare(expected, None) == ("the table is gone",)
