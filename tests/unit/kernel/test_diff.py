"""That the kernel takes these transactions is tested in tests/system/kernel."""

from tsujiban.kernel.diff import rebuild, remove, transaction
from tsujiban.kernel.held import Held
from tsujiban.kernel.names import digest
from tsujiban.kernel.table import Chain, Hook, Set, Table


def table(*items: Chain | Set, counters: dict[str, str] | None = None) -> Table:
    made = Table("t", counters=counters or {})
    for item in items:
        made.add(item)
    return made


def lines(old: Table, new: Table) -> list[str]:
    return transaction(Held.of(old), new).splitlines()


def rule(chain: str, text: str) -> str:
    return f'add rule inet t {chain} {text} comment "{digest(text)}"'


def test_nothing_for_nothing() -> None:
    made = table(Chain("x", ("accept",)), Set("s", "ipv4_addr", {"10.0.0.1": ""}), counters={"c": "r"})
    assert lines(made, made) == []


def test_a_table_from_nothing_is_one_transaction() -> None:
    made = table(
        Chain("base", ("jump x",), Hook("filter", "forward", 0)),
        Chain("x", ("accept",)),
        Set("m", "ifname", {"tsja": "jump x"}, data="verdict"),
        counters={"c": "r"},
    )
    assert transaction(None, made) == rebuild(made)
    assert rebuild(made).splitlines() == [
        "add table inet t",
        "delete table inet t",
        "add table inet t",
        'add counter inet t c { comment "r"; }',
        "add map inet t m { type ifname : verdict; }",
        "add chain inet t base { type filter hook forward priority 0; policy accept; }",
        "add chain inet t x",
        'add element inet t m { "tsja" : jump x }',
        rule("base", "jump x"),
        rule("x", "accept"),
    ]


def test_a_changed_chain_is_rewritten_alone() -> None:
    old = table(Chain("x", ("accept",)), Chain("y", ("accept",)))
    new = table(Chain("x", ("drop",)), Chain("y", ("accept",)))
    assert lines(old, new) == ["flush chain inet t x", rule("x", "drop")]


def test_sets_change_by_elements() -> None:
    old = table(
        Set(
            "m", "ipv4_addr", {"10.0.0.1": "jump a", "10.0.0.2": "jump b", "10.0.0.3": "drop"}, data="verdict"
        )
    )
    new = table(
        Set(
            "m", "ipv4_addr", {"10.0.0.1": "jump b", "10.0.0.2": "jump b", "10.0.0.4": "drop"}, data="verdict"
        )
    )
    assert lines(old, new) == [
        "delete element inet t m { 10.0.0.1 : jump a, 10.0.0.3 : drop }",
        "add element inet t m { 10.0.0.1 : jump b, 10.0.0.4 : drop }",
    ]


def test_what_is_not_wanted_goes_after_what_refers_to_it() -> None:
    old = table(
        Chain("x", ("jump y", "ip saddr @s accept")),
        Chain("y", ("jump z",)),
        Chain("z", ()),
        Set("s", "ipv4_addr"),
        counters={"c": "r"},
    )
    new = table(Chain("x", ("accept",)))
    assert lines(old, new) == [
        "flush chain inet t x",
        "flush chain inet t y",
        "flush chain inet t z",
        rule("x", "accept"),
        "delete set inet t s",
        "delete chain inet t y",
        "delete chain inet t z",
        "delete counter inet t c",
    ]


def test_interfaces_are_quoted_wherever_they_stand() -> None:
    new = table(
        Set("s", "ifname . ipv4_addr", {"tsja . 10.0.0.1": ""}), Set("p", "ifname . ifname", {"a . b": ""})
    )
    text = transaction(Held(), new)
    assert '{ "tsja" . 10.0.0.1 }' in text
    assert '{ "a" . "b" }' in text


def test_what_cannot_change_in_place_is_made_anew() -> None:
    new = table(Chain("x", (), Hook("filter", "forward", 0)), Set("s", "ipv4_addr"))
    for old in (
        table(Chain("x", (), Hook("filter", "forward", 1))),
        table(Chain("x", ())),
        table(Set("s", "ipv4_addr", interval=True)),
    ):
        assert transaction(Held.of(old), new) == rebuild(new)
    dormant = Held.of(new)
    dormant.flags = frozenset({"dormant"})
    assert transaction(dormant, new) == rebuild(new)


def test_large_sets_come_in_several_commands() -> None:
    elements = {f"10.0.{n >> 8}.{n & 255}": "" for n in range(9000)}
    text = transaction(Held(), table(Set("s", "ipv4_addr", elements)))
    assert [line.count("10.0.") for line in text.splitlines() if "element" in line] == [4096, 4096, 808]


def test_removal_needs_no_table() -> None:
    assert remove("t") == "add table inet t\ndelete table inet t\n"
