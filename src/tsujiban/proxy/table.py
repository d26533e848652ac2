"""All decisions of one endpoint and direction, as a table: cell by cell, port by port.

Ports are cut into intervals at every port that a rule of the endpoint names; each interval gets
one decision, and neighbours with equal decisions are joined again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from tsujiban.policy.addresses import contains, span
from tsujiban.policy.program import (
    AddressSet,
    Direction,
    EndpointProgram,
    Frozen,
    Mesh,
    NodeState,
    Ports,
    Rule,
    ServiceSet,
)
from tsujiban.proxy.authorization import Authorization
from tsujiban.proxy.decisions import Branch, Decision, branch
from tsujiban.proxy.netpolicy import Flow, NetworkPolicy, side_sets
from tsujiban.proxy.signature import Cell, Signature, Vocabulary

LAST_PORT = 65535


class Interval(Frozen, frozen=True):
    """Ports first to last, and what becomes of a connection to them."""

    first: int
    last: int
    decision: Decision


class Row(Frozen, frozen=True):
    """One cell's decisions, covering all ports in order."""

    cell: Cell
    intervals: tuple[Interval, ...]


class Table(Frozen, frozen=True):
    """Rows by proven identity ("" is none); `rest` decides for addresses in no row."""

    rows: dict[str, tuple[Row, ...]]
    rest: dict[int, tuple[Interval, ...]]  # by IP version

    def find(self, identity: str, address: str, port: int) -> Decision | None:
        """The decision for one flow, as Envoy looks it up. None: the identity, which is proven,
        does not own the address."""
        best: tuple[int, tuple[Interval, ...]] | None = None
        for row in self.rows.get(identity, ()):
            for prefix in row.cell.prefixes:
                _, first, last = span(prefix)
                if contains(prefix, address) and (best is None or last - first < best[0]):
                    best = (last - first, row.intervals)
        if best is None and identity:
            return None
        intervals = best[1] if best is not None else self.rest[span(address)[0]]
        return next(one.decision for one in intervals if one.first <= port <= one.last)


class _Compiler:
    """The one endpoint and direction that a table is made for."""

    def __init__(
        self, state: NodeState, endpoint: EndpointProgram, direction: Direction, *, staged: bool = False
    ) -> None:
        self.endpoint = endpoint
        self.ingress = direction is Direction.INGRESS
        self.policy = NetworkPolicy(state, endpoint, direction, staged=staged)
        self.authorization = Authorization(state, endpoint, staged=staged) if self.ingress else None
        names = {name for rule in self.policy.rules() for name in _sets(rule)}
        sets: dict[str, AddressSet] = {name: state.sets[name] for name in names & state.sets.keys()}
        services: dict[str, ServiceSet] = {
            name: state.service_sets[name] for name in names & state.service_sets.keys()
        }
        nets = {net for rule in self.policy.rules() for net in _nets(rule)}
        if self.authorization is not None:
            nets.update(self.authorization.nets())
        self.vocabulary = Vocabulary(nets, sets, services)
        self.own = {
            one.version: one
            for one in (
                self.vocabulary.signature(address, endpoint.identity)
                for address in reversed(endpoint.addresses)
            )
        }
        self.cuts = {0} | {cut for rule in self.policy.rules() for cut in _cuts(rule)}
        if self.authorization is not None:
            self.cuts |= {cut for port in self.authorization.ports() for cut in (port, port + 1)}

    def intervals(self, other: Signature) -> tuple[Interval, ...]:
        own = self.own.get(other.version, Signature(version=other.version))
        services = other.services | own.services
        cuts = self.cuts | {cut for _, port in services for cut in (port, port + 1)}
        starts = sorted(cut for cut in cuts if cut <= LAST_PORT)
        out: list[Interval] = []
        for first, following in zip(starts, [*starts[1:], LAST_PORT + 1], strict=True):
            decision = self.decide(other, own, first)
            if out and out[-1].decision == decision:
                first = out.pop().first
            out.append(Interval(first=first, last=following - 1, decision=decision))
        return tuple(out)

    def decide(self, other: Signature, own: Signature, port: int) -> Decision:
        if self.authorization is None:
            return self.policy.decide(Flow(own, other, port))
        flow = Flow(other, own, port)
        return _graft(self.policy.decide(flow), flow, self.authorization)

    def rows(self, points: Iterable[tuple[str, str]]) -> dict[str, tuple[Row, ...]]:
        """Rows of the (prefix, identity) points, by identity."""
        rows: defaultdict[str, list[Row]] = defaultdict(list)
        for cell in self.vocabulary.cells(points):
            identity = cell.signature.identity
            row = Row(cell=cell, intervals=self.intervals(cell.signature))
            rows[identity].append(row)
        return {identity: tuple(found) for identity, found in rows.items()}

    def rest(self) -> dict[int, tuple[Interval, ...]]:
        return {version: self.intervals(Signature(version=version)) for version in (4, 6)}


def _graft(decision: Decision, flow: Flow, authorization: Authorization) -> Decision:
    """What network policy allows, authorization decides next."""
    if isinstance(decision, Branch):
        return branch(
            decision.test,
            _graft(decision.then, flow, authorization),
            _graft(decision.otherwise, flow, authorization),
        )
    return authorization.decide(flow, decision.rules) if decision.allow else decision


def staged_ingress(state: NodeState, endpoint: EndpointProgram) -> Table | None:
    """What `ingress` would be if the staged and dry-run policies were enforced; None without any."""
    tiers = (state.policies.get(name) for tier in endpoint.ingress for name in tier.policies)
    programs = (state.authorizations.get(name) for name in endpoint.authorization)
    if any(one is not None and one.staged for one in tiers) or any(
        one is not None and one.dry_run for one in programs
    ):
        return ingress(state, endpoint, staged=True)
    return None


def ingress(state: NodeState, endpoint: EndpointProgram, *, staged: bool = False) -> Table:
    """Who may reach the endpoint: rows of every identity by the addresses that it owns; under ""
    the networks that plaintext may come from, in which no identity is proven."""
    compiler = _Compiler(state, endpoint, Direction.INGRESS, staged=staged)
    proven = [
        (address, peer.identity)
        for address, peer in state.peers.items()
        if peer.identity and peer.mesh is not Mesh.NONE
    ]
    unproven = ((prefix, "") for prefix in compiler.vocabulary.prefixes())
    return Table(rows={**compiler.rows(proven), **compiler.rows(unproven)}, rest=compiler.rest())


def egress(state: NodeState, endpoint: EndpointProgram, pod_cidrs: Iterable[str]) -> Table:
    """Where the endpoint may connect to: rows by the identity that the destination will have to
    prove, "" for plain pods and networks. Networks inside `pod_cidrs` have no row of their own:
    an address there is a known peer's, or nobody's."""
    compiler = _Compiler(state, endpoint, Direction.EGRESS)
    inside = tuple(pod_cidrs)
    points = [
        (prefix, "")
        for prefix in compiler.vocabulary.prefixes() - state.peers.keys()
        if not any(contains(cidr, prefix) for cidr in inside)
    ]
    for address, peer in state.peers.items():
        points.append((address, peer.identity if peer.mesh is not Mesh.NONE else ""))
    return Table(rows=compiler.rows(points), rest=compiler.rest())


def _sets(rule: Rule) -> Iterable[str]:
    yield from side_sets(rule.src)
    yield from side_sets(rule.dst)


def _nets(rule: Rule) -> Iterable[str]:
    for side in (rule.src, rule.dst):
        yield from side.nets or ()
        yield from side.not_nets


def _cuts(rule: Rule) -> Iterable[int]:
    for ports in (rule.dst.ports, rule.dst.not_ports):
        yield from _ends(ports)


def _ends(ports: Ports | None) -> Iterable[int]:
    for one in ports.ranges if ports is not None else ():
        yield one.first
        yield one.last + 1
