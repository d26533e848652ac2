from __future__ import annotations

from collections import Counter

import pytest

from tsujiban.kernel import room
from tsujiban.kernel.nflog import Owners
from tsujiban.kernel.room import TABLE, Room, table
from tsujiban.kernel.table import Table
from tsujiban.kernel.verdicts import Logging

OWNERS = Owners(
    interfaces={"tsja": "default/a", "tsjb": "default/b"},
    addresses={"10.244.0.1": "default/a", "fd44::1": "default/a", "10.244.0.2": "default/b"},
)


class Tracker:
    """Stands for conntrack."""

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()
        self.reads = 0

    def fullness(self) -> tuple[int, int]:
        return self.held.total(), 100

    def by_source(self) -> Counter[str]:
        self.reads += 1
        return self.held


class Keeper:
    """Stands for nftables."""

    def __init__(self, _nft: object, name: str) -> None:
        assert name == TABLE
        self.tables: list[Table | None] = []

    def apply(self, wanted: Table) -> None:
        self.tables.append(wanted)

    def remove(self) -> None:
        self.tables.append(None)


def made(monkeypatch: pytest.MonkeyPatch) -> tuple[Room, Tracker, Keeper]:
    tracker, keeper = Tracker(), Keeper(None, TABLE)
    monkeypatch.setattr(room, "Nft", lambda: None)
    monkeypatch.setattr(room, "Conntrack", lambda: tracker)
    monkeypatch.setattr(room, "TableKeeper", lambda *_: keeper)
    return Room(), tracker, keeper


def test_who_holds_more_than_a_pods_share_of_half_opens_no_more_while_it_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, tracker, keeper = made(monkeypatch)
    tracker.held.update({"10.244.0.1": 20, "fd44::1": 10, "10.244.0.2": 20})
    assert one.look(OWNERS) == frozenset()
    assert (tracker.reads, keeper.tables) == (0, [None])  # what an agent before may have left
    tracker.held["192.0.2.1"] += 1
    assert one.look(OWNERS) == frozenset({"tsja"})  # by both of its addresses: 30 of 25
    assert one.look(OWNERS) == frozenset({"tsja"})
    assert keeper.tables[1:] == [table(frozenset({"tsja"}), Logging())]
    tracker.held["10.244.0.2"] += 6
    assert one.look(OWNERS) == frozenset({"tsja", "tsjb"})
    tracker.held.clear()
    assert one.look(OWNERS) == frozenset()
    assert keeper.tables[2:] == [table(frozenset({"tsja", "tsjb"}), Logging()), None]


def test_others_than_pods_are_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    one, tracker, _ = made(monkeypatch)
    tracker.held.update({"192.0.2.1": 90, "10.244.0.9": 5})
    assert one.look(OWNERS) == frozenset()
    assert one.look(Owners()) == frozenset()


def test_only_new_connections_are_refused_before_policy_is_asked_and_told() -> None:
    wanted = table(frozenset({"tsja"}), Logging())
    assert wanted.sets["crowded"].elements == {"tsja": ""}
    assert {chain.hook.hook for chain in wanted.chains.values() if chain.hook} == {"forward", "input"}
    for chain in wanted.chains.values():
        if chain.hook:
            assert chain.hook.priority < 0
            assert all("ct state new" in rule and "@crowded" in rule for rule in chain.rules)
    assert any(room.CROWDED in rule for chain in wanted.chains.values() for rule in chain.rules)
