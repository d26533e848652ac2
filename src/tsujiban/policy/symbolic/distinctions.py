"""Everything that a compiled state asks about addresses, protocols and ports, collected once.

Two states that are compared must be cut in the same places, so what they distinguish can be
joined before either is analysed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from tsujiban.policy.failsafes import NodeFailsafes
from tsujiban.policy.program import NodeState, Rule, Side


class Distinctions:
    """What one state, or several, tell apart."""

    def __init__(self) -> None:
        self.nets: set[str] = set()  # that clauses name
        self.bounds: set[str] = set()  # of the members of sets, where they are no endpoint's
        self.protocols: set[int] = set()
        self.source_ports: set[int] = set()  # first ports of ranges of source ports
        self.ports: set[int] = set()  # the same of destination ports

    def add(self, state: NodeState, held: Collection[str]) -> None:
        """Take in what a state tells apart; `held` are the addresses of the ends inside."""
        for policy in state.policies.values():
            for rule in (*policy.ingress, *policy.egress):
                self._rule(rule, state)
        for program in state.authorizations.values():
            for one in program.rules:
                for source in one.sources:
                    self.nets.update(
                        (
                            *source.ip_blocks,
                            *source.not_ip_blocks,
                            *source.remote_ip_blocks,
                            *source.not_remote_ip_blocks,
                        )
                    )
                for operation in one.operations:
                    self._points(self.ports, ((p, p) for p in (*operation.ports, *operation.not_ports)))
                for condition in one.conditions:
                    self.nets.update((*condition.cidrs, *condition.not_cidrs))
        for found in state.sets.values():
            self.bounds.update(m.net for m in found.members if m.net not in held)
        for services in state.service_sets.values():
            for member in services.members:
                self.protocols.add(member.protocol)
                self.ports.update((member.port, member.port + 1))
                if member.address not in held:
                    self.bounds.add(member.address)
        for endpoint in state.endpoints.values():
            for port in endpoint.authentication.ports:
                self.ports.update((port, port + 1))

    def open_ports(self, failsafes: NodeFailsafes) -> None:
        """Take in what failsafe ports tell apart."""
        for failsafe in failsafes.all():
            self.protocols.add(failsafe.protocol)
            self.ports.update((failsafe.port, failsafe.port + 1))
            if failsafe.net:
                self.nets.add(failsafe.net)

    def _rule(self, rule: Rule, state: NodeState) -> None:
        self.protocols.update(rule.protocols)
        self.protocols.update(rule.not_protocols)
        for side, ports in ((rule.src, self.source_ports), (rule.dst, self.ports)):
            self.nets.update(side.nets or ())
            self.nets.update(side.not_nets)
            for clause in (side.ports, side.not_ports):
                if clause is not None:
                    self._points(ports, ((r.first, r.last) for r in clause.ranges))
        for name in services_of(rule.src):
            if (found := state.service_sets.get(name)) is not None:
                for member in found.members:
                    self.source_ports.update((member.port, member.port + 1))

    @staticmethod
    def _points(table: set[int], ranges: Iterable[tuple[int, int]]) -> None:
        for first, last in ranges:
            table.update((first, last + 1))


def services_of(side: Side) -> Iterator[str]:
    """Ids of the service sets that a side refers to."""
    yield from side.services
    for clause in (side.ports, side.not_ports):
        if clause is not None:
            yield from clause.named
