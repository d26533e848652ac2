"""The tables of a node's endpoints, each made once for all endpoints that are alike.

What decides about an endpoint's connections is its policies, and what their rules can ask of its own
addresses. Replicas of a workload differ in neither, so a node that runs a hundred of them compiles a change
once; what is rendered of a table alone is kept with it (`Table.once`).
"""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakKeyDictionary, WeakSet

from tsujiban.policy.program import Direction, EndpointProgram, NodeState
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.reach import Program, Reach, program


class Programs:
    """All that are in use. Whoever uses one holds it; the others are forgotten."""

    def __init__(self) -> None:
        self._known: dict[Program, WeakSet[Reach]] = {}
        self._behind: WeakKeyDictionary[Reach, set[str]] = WeakKeyDictionary()  # addresses not looked at yet

    def moved(self, addresses: Iterable[str]) -> None:
        """These addresses have other owners than before."""
        addresses = set(addresses)
        for behind in self._behind.values():
            behind |= addresses

    def find(
        self,
        state: NodeState,
        endpoint: EndpointProgram,
        direction: Direction,
        peers: Peers,
        pod_cidrs: tuple[str, ...] = (),
        *,
        staged: bool = False,
    ) -> tuple[Reach, bool]:
        """The endpoint's in this state, with the newest owners of addresses; whether it was made just now."""
        wanted = program(endpoint, direction, pod_cidrs, staged=staged)
        for one in self._known.get(wanted, ()):
            if one.is_of(state, endpoint):
                if behind := self._behind[one]:
                    self._behind[one] = set()
                    one.follow(behind)
                return one, False
        made = self._with_members(wanted, state, endpoint)
        if made is None:
            made = Reach(state, endpoint, direction, peers, pod_cidrs, staged=staged)
        self._known = {known: users for known, users in self._known.items() if users}
        self._known.setdefault(wanted, WeakSet()).add(made)
        self._behind[made] = set()
        return made, True

    def _with_members(self, wanted: Program, state: NodeState, endpoint: EndpointProgram) -> Reach | None:
        """One that is made of another, if only members of sets have changed since that was made."""
        for one in self._known.get(wanted, ()):
            made = one.with_members(state, endpoint, self._behind[one])
            if made is not None:
                return made
        return None
