import pytest

from tsujiban.kernel.names import digest
from tsujiban.kernel.table import Chain, Hook, Set, Table


def test_marks_follow_the_rules() -> None:
    chain = Chain("x", ("accept", "drop"))
    assert chain.marks == (digest("accept"), digest("drop"))


def test_texts() -> None:
    assert Hook("filter", "input", -300).text() == "type filter hook input priority -300; policy accept;"
    assert Set("s", "ipv4_addr", interval=True).declaration() == "type ipv4_addr; flags interval;"
    filled = Set("f", "ifname", size=4, timeout=9).declaration()
    assert filled == "type ifname; size 4; flags dynamic,timeout; timeout 9s;"
    counted = Set("c", "ifname", size=4).declaration()
    assert counted == "type ifname; size 4; flags dynamic;"
    mapped = Set("m", "ifname", data="verdict")
    assert (mapped.kind, mapped.declaration()) == ("map", "type ifname : verdict;")


def test_a_name_stands_for_one_thing() -> None:
    table = Table("t")
    assert table.add(Chain("x", ("accept",))) == "x"
    table.add(Chain("x", ("accept",)))
    with pytest.raises(ValueError, match="two different objects are called x in table t"):
        table.add(Chain("x", ("drop",)))
    table.add(Set("s", "ipv4_addr"))
    with pytest.raises(ValueError, match="called s"):
        table.add(Set("s", "ipv6_addr"))
