from __future__ import annotations

from collections.abc import Set

import pytest

from tsujiban.policy.program import AddressSet, Member, NodeDelta, NodeState, SetChange
from tsujiban.policy.versions import Versioned, VersionedSet, difference, set_difference


def test_a_change_hands_the_table_on_and_copies_nothing() -> None:
    first: Versioned[int, str] = Versioned(dict.fromkeys(range(1000), ""))
    table = first._table
    last = first.changed([1], {1000: "x"}).changed([2], {})
    assert last._table is table
    assert difference(first, last) == ({1: "", 2: ""}, {1000: "x"})
    assert first._table is None  # comparing has read neither


def test_an_old_version_is_what_it_was() -> None:
    first = Versioned({"a": 1, "b": 2})
    second = first.changed(["a"], {"b": 3, "c": 4})
    assert dict(second) == {"b": 3, "c": 4}
    assert dict(first) == {"a": 1, "b": 2}
    branch = first.changed([], {"d": 5})
    assert dict(branch) == {"a": 1, "b": 2, "d": 5}
    assert dict(second) == {"b": 3, "c": 4}
    assert difference(branch, second) == ({"a": 1, "b": 2, "d": 5}, {"b": 3, "c": 4})


def test_what_goes_and_comes_again_is_no_difference() -> None:
    first = Versioned({"a": 1})
    assert difference(first, first.changed(["a"], {"a": 1})) == ({}, {})
    again = first.changed(["a"], {}).changed([], {"a": 1})
    assert difference(first, again) == ({}, {})


def test_a_set_looks_like_any_other() -> None:
    made = VersionedSet([1, 2]).changed([1], [3])
    same: Set[int] = frozenset({2, 3})
    assert made == same
    assert same == made
    assert hash(made) == hash(same)
    assert made - {2} == {3}
    assert {2, 9} - made == {9}
    assert set_difference({1, 2}, made) == ({1}, {3})


@pytest.mark.parametrize("full", [True, False])
def test_a_state_s_sets_are_versions(full: bool) -> None:
    state = NodeState(sets={} if full else {"s": AddressSet(id="s", members=frozenset({member(1)}))})
    state.apply(NodeDelta(revision=1, sets={"s": SetChange(full=full, added=frozenset({member(2)}))}))
    before = state.sets["s"]
    state.apply(NodeDelta(revision=2, sets={"s": SetChange(added=frozenset({member(3)}))}))
    gone, come = set_difference(before.members, state.sets["s"].members)
    assert (set(gone), set(come)) == (set(), {member(3)})
    assert before.members == ({member(2)} if full else {member(1), member(2)})


def member(number: int) -> Member:
    return Member(net=f"10.0.0.{number}")
