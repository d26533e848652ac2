"""Policy of one endpoint and direction, ready to be asked about any address.

Ports are cut into intervals at every port that a rule of the endpoint names; each interval gets
one decision, and neighbours with equal decisions are joined again. What was decided for one address
is remembered for all that no rule can tell from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from typing import NamedTuple

from tsujiban.policy.addresses import Span
from tsujiban.policy.program import (
    AddressSet,
    Direction,
    EndpointProgram,
    NodeState,
    Ports,
    Rule,
    ServiceSet,
)
from tsujiban.proxy.authorization import Authorization
from tsujiban.proxy.decisions import Admission, Branch, Class, Decision, admit, branch, leaves
from tsujiban.proxy.netpolicy import Flow, NetworkPolicy, side_sets
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.signature import Signature, Vocabulary
from tsujiban.proxy.table import LAST_PORT, Interval, Intervals
from tsujiban.resources import spiffe
from tsujiban.resources.names import SPIFFE_SCHEME


class Judgement(NamedTuple):
    """What becomes of connections with one address."""

    intervals: Intervals
    opens: bool  # whether any of them can be allowed at all


# What stands for the others: a name that is a workload's, so that all rules can be asked.
_ANY = "any-other"


class Compiler:
    """The policy of one endpoint in one direction."""

    def __init__(
        self, state: NodeState, endpoint: EndpointProgram, direction: Direction, *, staged: bool = False
    ) -> None:
        self.ingress = direction is Direction.INGRESS
        self.policy = NetworkPolicy(state, endpoint, direction, staged=staged)
        self.authorization = Authorization(state, endpoint, staged=staged) if self.ingress else None
        #: Ids of all sets that it asks for, whether they are there or not.
        self.names = frozenset(name for rule in self.policy.rules() for name in _sets(rule))
        services: dict[str, ServiceSet] = {
            name: state.service_sets[name] for name in self.names & state.service_sets.keys()
        }
        nets = {net for rule in self.policy.rules() for net in _nets(rule)}
        if self.authorization is not None:
            nets.update(self.authorization.nets())
        self.vocabulary = Vocabulary(nets, self._sets(state), services)
        self.own = self.ends(endpoint)
        self.cuts = {0} | {cut for rule in self.policy.rules() for cut in _cuts(rule)}
        if self.authorization is not None:
            self.cuts |= {cut for port in self.authorization.ports() for cut in (port, port + 1)}
        self._judged: dict[Signature, Judgement] = {}
        self._distinct: dict[Intervals, Intervals] = {}

    def _sets(self, state: NodeState) -> dict[str, AddressSet]:
        return {name: state.sets[name] for name in self.names & state.sets.keys()}

    def with_members(self, state: NodeState) -> tuple[Compiler, set[Span]]:
        """The same in a state in which nothing that it asks for is new but the members of sets, and who has
        come or gone. What was decided stays so: it is about signatures, whoever has them; only the endpoint's
        own (`own`) must be the same."""
        made = copy(self)
        made.vocabulary, changed = self.vocabulary.with_members(self._sets(state))
        return made, changed

    def ends(self, endpoint: EndpointProgram) -> dict[int, Signature]:
        """All that the policy can ask of an endpoint's own addresses, by IP version."""
        owner = endpoint.identity  # it is in the sets of its own; no rule asks for it by name
        found = (self.vocabulary.signature(one, owner, stands_for="") for one in reversed(endpoint.addresses))
        return {one.version: one for one in found}

    def crowds(self, trust_domain: str) -> dict[str, str]:
        """Workloads of a trust domain ("" is none) of whom rules know no more than their addresses and how
        their identities begin: by that, an identity that stands for all of the crowd. Whoever is in no set
        and is named by no rule is judged as his crowd is; others may be."""
        if not trust_domain:
            return {}
        begin = f"{SPIFFE_SCHEME}{trust_domain}/ns/"
        others = f"{begin}{_ANY}/sa/{_ANY}"
        found = {begin: others}
        if self.authorization is not None:
            for namespace in sorted(self.authorization.namespaces(trust_domain)):
                identity = f"{begin}{namespace}/sa/{_ANY}"
                alike = self.authorization.alike(identity) == self.authorization.alike(others)
                if spiffe.workload(identity) is not None and not alike:
                    found[f"{begin}{namespace}/sa/"] = identity
        return found

    def judge(self, prefix: str, identity: str) -> Judgement:
        """What the policy makes of an address or network whose owner has proven `identity` ("" is none)."""
        alike = self.authorization.alike(identity) if self.authorization is not None else ""
        return self._of(self.vocabulary.signature(prefix, identity, stands_for=alike))

    def candidates(self, peers: Peers, crowded: Callable[[str], bool]) -> Iterator[str]:
        """Addresses of all peers for whom anything may be open, or who may be told from others of their
        crowd, if they are in one (`crowded`, by identity); and perhaps of others."""
        if self.authorization is not None and not self.authorization.blind:
            yield from (address for address, _ in peers.items())
            return
        for region in self.vocabulary.regions():
            if region.owners:
                yield from peers.inside(region.span)
            elif self._of(region.signature).opens:
                yield from (one for one in peers.inside(region.span) if not crowded(peers.owner(one) or ""))
        yield from (one for one in self.vocabulary.addresses_of_services() if one in peers)

    def _of(self, other: Signature) -> Judgement:
        known = self._judged.get(other)
        if known is None:
            intervals = self._same(self._intervals(other))
            opens = admits_bytes if self.authorization is None else _allows
            known = Judgement(intervals, any(opens(one.decision) for one in intervals))
            self._judged[other] = known
        return known

    def rest(self) -> dict[int, Intervals]:
        """The same for addresses of which nothing is known, by IP version."""
        return {version: one.intervals for version, one in self.rest_of("").items()}

    def rest_of(self, identity: str) -> dict[int, Judgement]:
        """The same, when an identity is proven there."""
        alike = self.authorization.alike(identity) if self.authorization is not None else ""
        return {version: self._of(Signature(version=version, identity=alike)) for version in (4, 6)}

    def _same(self, intervals: Intervals) -> Intervals:
        """Equal decisions are one object: what is grouped by them is grouped the same every time."""
        return self._distinct.setdefault(intervals, intervals)

    def _intervals(self, other: Signature) -> Intervals:
        own = self.own.get(other.version, Signature(version=other.version))
        services = other.services | own.services
        cuts = self.cuts | {cut for _, port in services for cut in (port, port + 1)}
        starts = sorted(cut for cut in cuts if cut <= LAST_PORT)
        out: list[Interval] = []
        for first, following in zip(starts, [*starts[1:], LAST_PORT + 1], strict=True):
            decision = self._decide(other, own, first)
            if out and out[-1].decision == decision:
                first = out.pop().first
            out.append(Interval(first=first, last=following - 1, decision=decision))
        return tuple(out)

    def _decide(self, other: Signature, own: Signature, port: int) -> Decision:
        if self.authorization is None:
            return self.policy.decide(Flow(own, other, port))
        flow = Flow(other, own, port)
        return _graft(self.policy.decide(flow), flow, self.authorization)


def _allows(decision: Decision) -> bool:
    """Whether anything can be allowed, or what is noted of a denial depends on the request."""
    noted = isinstance(decision, Branch)
    return any(leaf.allow or (noted and leaf.audits) for leaf in leaves(decision))


def admits_bytes(decision: Decision) -> bool:
    """The client's side reads no HTTP: what only HTTP clauses would allow is refused there."""
    seen = admit(decision)
    if isinstance(seen, Admission):
        return seen.kind is Class.TCP
    return admits_bytes(seen.then) or admits_bytes(seen.otherwise)


def _graft(decision: Decision, flow: Flow, authorization: Authorization) -> Decision:
    """What network policy allows, authorization decides next."""
    if isinstance(decision, Branch):
        return branch(
            decision.test,
            _graft(decision.then, flow, authorization),
            _graft(decision.otherwise, flow, authorization),
        )
    return authorization.decide(flow, decision.rules) if decision.allow else decision


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
