"""When nothing but members of sets has changed, the last rendering is followed instead of made anew.

That is what mostly happens: pods come and go elsewhere. The chains are then the very same ones, and only
the elements of the sets concerned are others. Whatever could make a difference beyond elements (a set
that is part of a run, that turns from addresses to networks, that grows out of what a run can hold)
is rendered in full.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from tsujiban.kernel.elements import VERSIONS, AddressElements
from tsujiban.kernel.runs import Simple
from tsujiban.kernel.sets import SetMemory, address_set_name
from tsujiban.kernel.table import Table
from tsujiban.policy.program import NodeState

T = TypeVar("T")


@dataclass(frozen=True)
class Basis:
    """What a rendering was made of, and how far its sets matter beyond their elements."""

    state: NodeState  # its tables are copies, its programs the very same
    given: tuple[object, ...]  # all that is no state
    in_runs: frozenset[str]
    simple: Mapping[str, list[Simple]]  # rules that could be part of a run, by the set they ask

    @classmethod
    def of(
        cls, state: NodeState, given: tuple[object, ...], in_runs: set[str], simple: list[Simple]
    ) -> Basis:
        """Of what has just been rendered in full."""
        by_set: dict[str, list[Simple]] = {}
        for one in simple:
            if isinstance(one.peers, str):
                by_set.setdefault(one.peers, []).append(one)
        return cls(_copied(state), given, frozenset(in_runs), by_set)

    def follow(
        self, table: Table, state: NodeState, given: tuple[object, ...], memory: SetMemory
    ) -> tuple[Table, Basis] | None:
        """The table for `state`, and what it was made of; None when it has to be rendered in full."""
        if given != self.given or not (
            _same(self.state.endpoints, state.endpoints)
            and _same(self.state.policies, state.policies)
            and _same(self.state.service_sets, state.service_sets)
            and self.state.sets.keys() == state.sets.keys()
        ):
            return None
        sets = dict(table.sets)
        for set_id, found in state.sets.items():
            held = memory.addresses.get(set_id)
            if found is self.state.sets[set_id] or held is None:
                continue
            before = self._kind(set_id, held)
            held.update(found)
            if set_id in self.in_runs or self._kind(set_id, held) != before:
                return None
            for version in VERSIONS:
                name = address_set_name(held, set_id, version)
                if name in sets and sets[name].elements is not held.elements(version):
                    sets[name] = replace(sets[name], elements=held.elements(version))
        followed = Table(table.name, chains=table.chains, sets=sets, counters=table.counters)
        return followed, replace(self, state=_copied(state))

    def _kind(self, set_id: str, held: AddressElements) -> tuple[bool, list[bool]]:
        """What of a set decides how rules are rendered that ask for it."""
        count = sum(len(held.elements(version)) for version in VERSIONS)
        return held.interval, [one.fits(count) for one in self.simple.get(set_id, ())]


def _copied(state: NodeState) -> NodeState:
    return NodeState(
        endpoints=dict(state.endpoints),
        policies=dict(state.policies),
        sets=dict(state.sets),
        service_sets=dict(state.service_sets),
    )


def _same(before: Mapping[str, T], now: Mapping[str, T]) -> bool:
    return len(before) == len(now) and all(before.get(name) is value for name, value in now.items())
