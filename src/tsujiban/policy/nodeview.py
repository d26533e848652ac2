"""What one node was last told, and what to tell it next.

A node needs its own endpoints, the policies that those name, the sets that those policies name,
and nothing else (peers and services are shared by all nodes). References are counted, so the
cost of a delta is that of the changes, not of the node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tsujiban.policy.journal import Table
from tsujiban.policy.program import AuthzProgram, EndpointProgram, NodeDelta, PolicyProgram, SetChange
from tsujiban.policy.tables import put

if TYPE_CHECKING:
    from tsujiban.policy.graph import PolicyGraph
    from tsujiban.policy.members import SetState


class NodeView:
    """The state of one node as far as it was sent."""

    def __init__(self, node: str) -> None:
        self.node = node
        self._position = 0
        self._endpoints: dict[str, EndpointProgram] = {}
        self._policies: dict[str, PolicyProgram] = {}
        self._policy_sets: dict[str, tuple[str, ...]] = {}
        self._authorizations: dict[str, AuthzProgram] = {}
        self._sets: dict[str, tuple[SetState, int]] = {}
        self._policy_users: Counter[str] = Counter()
        self._authorization_users: Counter[str] = Counter()
        self._set_users: Counter[str] = Counter()

    def snapshot(self, graph: PolicyGraph, revision: int) -> NodeDelta:
        """Everything, for a view that is new."""
        self._position = graph.journal.position
        endpoints, policies, authorizations, sets = self._catch_up(
            graph, graph.endpoints_on(self.node), (), (), ()
        )
        return NodeDelta(
            revision=revision,
            full=True,
            endpoints=endpoints,
            policies=policies,
            authorizations=authorizations,
            sets=sets,
            peers=dict(graph.peers),
            services=dict(graph.services),
        )

    def delta(self, graph: PolicyGraph, revision: int) -> NodeDelta | None:
        """What changed; None when nothing did for this node. Raises LookupError when the node
        fell too far behind to be told differences."""
        entries = graph.journal.since(self._position)
        if entries is None:
            raise LookupError(f"node {self.node} is too far behind for a difference")
        self._position = graph.journal.position
        touched: dict[Table, set[str]] = {table: set() for table in Table}
        for table, name in entries:
            touched[table].add(name)
        mine = graph.endpoints_on(self.node)
        endpoints, policies, authorizations, sets = self._catch_up(
            graph,
            (name for name in touched[Table.ENDPOINTS] if name in mine or name in self._endpoints),
            touched[Table.POLICIES],
            touched[Table.AUTHORIZATIONS],
            touched[Table.SETS],
        )
        delta = NodeDelta(
            revision=revision,
            endpoints=endpoints,
            policies=policies,
            authorizations=authorizations,
            sets=sets,
            peers={name: graph.peers.get(name) for name in touched[Table.PEERS]},
            services={name: graph.services.get(name) for name in touched[Table.SERVICES]},
        )
        said = (
            delta.endpoints,
            delta.policies,
            delta.authorizations,
            delta.sets,
            delta.peers,
            delta.services,
        )
        return delta if any(said) else None

    def _catch_up(
        self,
        graph: PolicyGraph,
        endpoints: Iterable[str],
        policies: Iterable[str],
        authorizations: Iterable[str],
        sets: Iterable[str],
    ) -> tuple[
        dict[str, EndpointProgram | None],
        dict[str, PolicyProgram | None],
        dict[str, AuthzProgram | None],
        dict[str, SetChange | None],
    ]:
        """Bring the view up to date in what was touched; returns what to say."""
        new_endpoints: dict[str, EndpointProgram | None] = {}
        touched_policies = set(policies)
        touched_authorizations = set(authorizations)
        for name in endpoints:
            found = graph.endpoints.get(name)
            program = found if found is not None and found.node == self.node else None
            old = self._endpoints.get(name)
            if program == old:
                continue
            put(self._endpoints, name, program)
            new_endpoints[name] = program
            _recount(self._policy_users, touched_policies, policies_of(old), policies_of(program))
            _recount(
                self._authorization_users,
                touched_authorizations,
                old.authorization if old is not None else (),
                program.authorization if program is not None else (),
            )
        touched_sets = set(sets)
        new_policies: dict[str, PolicyProgram | None] = {}
        for name in touched_policies:
            policy = graph.programs.get(name) if self._policy_users[name] else None
            if policy == self._policies.get(name):
                continue
            put(self._policies, name, policy)
            new_policies[name] = policy
            before = self._policy_sets.pop(name, ())
            if policy is not None:
                self._policy_sets[name] = graph.sets_of(name)
            _recount(self._set_users, touched_sets, before, self._policy_sets.get(name, ()))
        new_authorizations: dict[str, AuthzProgram | None] = {}
        for name in touched_authorizations:
            authorization = graph.authorizations.get(name) if self._authorization_users[name] else None
            if authorization != self._authorizations.get(name):
                put(self._authorizations, name, authorization)
                new_authorizations[name] = authorization
        return new_endpoints, new_policies, new_authorizations, self._set_changes(graph, touched_sets)

    def _set_changes(self, graph: PolicyGraph, touched: Iterable[str]) -> dict[str, SetChange | None]:
        changes: dict[str, SetChange | None] = {}
        for name in touched:
            state = graph.sets.get(name) if self._set_users[name] else None
            known = self._sets.get(name)
            if state is None:
                if known is not None:
                    del self._sets[name]
                    changes[name] = None
                continue
            if known is None or known[0] is not state:
                change: SetChange | None = state.full()
            else:
                change = state.since(known[1])
            self._sets[name] = (state, state.version)
            if change is not None:
                changes[name] = change
        return changes


def policies_of(endpoint: EndpointProgram | None) -> tuple[str, ...]:
    """Ids of the policies and profiles that an endpoint's program names, repeats included."""
    if endpoint is None:
        return ()
    tiers = (*endpoint.ingress, *endpoint.egress)
    return (*(name for tier in tiers for name in tier.policies), *endpoint.profiles)


def _recount(users: Counter[str], touched: set[str], old: Iterable[str], new: Iterable[str]) -> None:
    for name in new:
        users[name] += 1
        touched.add(name)
    for name in old:
        users[name] -= 1
        if not users[name]:
            del users[name]
        touched.add(name)
