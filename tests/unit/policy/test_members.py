from __future__ import annotations

from tsujiban.policy.definitions import SetDefinition, SetKind
from tsujiban.policy.members import HISTORY, SetState
from tsujiban.policy.program import AddressSet, Member, ServiceMember, ServiceSet, SetChange

ONE, TWO, THREE = (Member(net=f"10.0.0.{n}") for n in (1, 2, 3))
TRIPLE = ServiceMember(address="10.0.0.1", protocol=6, port=80)


def state(kind: SetKind = SetKind.ENDPOINTS) -> SetState:
    return SetState(SetDefinition(kind=kind))


def test_a_member_that_two_bring_stays_until_both_are_gone() -> None:
    found = state()
    assert found.add([ONE])
    assert not found.add([ONE])
    assert not found.remove([ONE])
    assert found.full().added == {ONE}
    assert found.remove([ONE])
    assert found.full().added == frozenset()


def test_an_address_under_two_identities_is_two_members() -> None:
    found = state()
    found.add([ONE, Member(net="10.0.0.1", identity="spiffe://d/ns/x/sa/a")])
    assert len(found.full().added) == 2


def test_what_changed_since_a_version() -> None:
    found = state()
    found.add([ONE, TWO])
    version = found.version
    found.add([THREE])
    found.remove([ONE])
    assert found.since(version) == SetChange(added=frozenset({THREE}), removed=frozenset({ONE}))


def test_what_came_and_went_is_no_change() -> None:
    found = state()
    found.add([ONE])
    version = found.version
    found.add([TWO])
    found.remove([TWO])
    found.remove([ONE])
    found.add([ONE])
    assert found.version > version
    assert found.since(version) is None


def test_whoever_is_behind_the_history_gets_all() -> None:
    found = state()
    found.add([ONE])
    found.forget_history()
    assert found.since(0) == SetChange(full=True, added=frozenset({ONE}))
    assert found.since(found.version) is None


def test_the_history_is_bounded_and_a_trim_loses_no_recent_change() -> None:
    found = state()
    for _ in range(HISTORY):
        found.add([ONE])
        found.remove([ONE])
    version = found.version
    found.add([TWO])
    found.trim()
    assert len(found.changes) == HISTORY
    assert found.since(version) == SetChange(added=frozenset({TWO}))
    oldest = found.since(0)
    assert oldest is not None
    assert oldest.full


def test_a_large_set_keeps_a_history_as_long_as_itself() -> None:
    found = state()
    found.add(Member(net=f"10.0.{n // 256}.{n % 256}") for n in range(3 * HISTORY))
    found.trim()
    assert found.since(0) == SetChange(added=frozenset(m for m in found.full().added))


def test_triples_travel_as_triples() -> None:
    found = state(SetKind.NAMED_PORT)
    found.add([TRIPLE])
    assert found.full() == SetChange(full=True, service=True, added_services=frozenset({TRIPLE}))
    assert found.compiled() == ServiceSet(id=found.definition.id, members=frozenset({TRIPLE}))


def test_addresses_compile_to_an_address_set() -> None:
    found = state()
    found.add([ONE])
    assert found.compiled() == AddressSet(id=found.definition.id, members=frozenset({ONE}))
