"""Network policy at one port between two signatures, as a decision.

Tiers, Pass, default actions and profiles are folded from the last to the first, so that each
rule's target is known when it is reached. A clause that cannot be settled to the letter is
settled against the flow: an allowing rule then does not match, a denying one does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tsujiban.policy.program import (
    Action,
    Direction,
    EndpointProgram,
    Http,
    NodeState,
    PathMatch,
    PolicyProgram,
    PortRange,
    Ports,
    Rule,
    Side,
    Tier,
)
from tsujiban.proxy.decisions import (
    Decision,
    Leaf,
    Settled,
    SourcePort,
    Text,
    all_of,
    any_of,
    branch,
    negate,
)
from tsujiban.proxy.signature import TCP, Signature


class Flow:
    """What is settled of a flow: both signatures and the destination port."""

    __slots__ = ("destination", "port", "source")

    def __init__(self, source: Signature, destination: Signature, port: int) -> None:
        self.source = source
        self.destination = destination
        self.port = port


def enforced(state: NodeState, tier: Tier) -> list[PolicyProgram | str]:
    """The policies of a tier that count; the id alone for one that is missing."""
    found = [state.policies.get(name, name) for name in tier.policies]
    return [one for one in found if isinstance(one, str) or not one.staged]


def rules_of(policy: PolicyProgram, direction: Direction) -> tuple[Rule, ...]:
    """A policy's rules of one direction."""
    return policy.ingress if direction is Direction.INGRESS else policy.egress


def programs(state: NodeState, endpoint: EndpointProgram, direction: Direction) -> Iterator[PolicyProgram]:
    """Every enforced policy and profile of an endpoint, as far as it is known."""
    for tier in endpoint.ingress if direction is Direction.INGRESS else endpoint.egress:
        for policy in enforced(state, tier):
            if not isinstance(policy, str):
                yield policy
    for name in endpoint.profiles:
        if name in state.policies:
            yield state.policies[name]


class NetworkPolicy:
    """The network policy of one endpoint and direction."""

    def __init__(self, state: NodeState, endpoint: EndpointProgram, direction: Direction) -> None:
        self._endpoint = endpoint
        self._known = state.sets.keys() | state.service_sets.keys()
        tiers = endpoint.ingress if direction is Direction.INGRESS else endpoint.egress
        self._tiers: list[tuple[Leaf | None, list[Rule]]] = []
        for tier in tiers:
            policies = enforced(state, tier)
            if policies:
                default = None
                if tier.default_action is not Action.PASS:
                    default = Leaf(allow=False, rules=(tier.default_id,))
                self._tiers.append((default, list(self._rules(policies, direction))))
        profiles = [state.policies.get(name, name) for name in endpoint.profiles]
        no_profile = Leaf(allow=False, rules=(endpoint.no_profile_id,))
        self._tiers.append((no_profile, list(self._rules(profiles, direction))))

    @staticmethod
    def _rules(policies: Iterable[PolicyProgram | str], direction: Direction) -> Iterator[Rule]:
        for policy in policies:
            if isinstance(policy, str):
                yield Rule(id=f"{policy}/missing", action=Action.DENY)
            else:
                yield from (rule for rule in rules_of(policy, direction) if rule.action != Action.LOG)

    def rules(self) -> Iterator[Rule]:
        """Every rule that can decide, in order."""
        for _, rules in self._tiers:
            yield from rules

    def decide(self, flow: Flow) -> Decision:
        """What the policy makes of a TCP connection."""
        after: Decision = Leaf(allow=False, rules=(self._endpoint.no_profile_id,))
        for default, rules in reversed(self._tiers):
            current = after if default is None else default
            for rule in reversed(rules):
                test = self._match(rule, flow)
                if test is not False:
                    current = branch(test, self._target(rule, after), current)
            after = current
        return after

    @staticmethod
    def _target(rule: Rule, after: Decision) -> Decision:
        if rule.action is Action.PASS:
            return after
        return Leaf(allow=rule.action is Action.ALLOW, rules=(rule.id,))

    def _match(self, rule: Rule, flow: Flow) -> Settled:
        if rule.icmp is not None or TCP in rule.not_protocols:
            return False
        if rule.protocols and TCP not in rule.protocols:
            return False
        if rule.ip_version not in {None, flow.source.version}:
            return False
        strict = rule.action is not Action.DENY
        for side in (rule.src, rule.dst):
            if not set(side_sets(side)) <= self._known:
                return not strict
        if not (_side(rule.src, flow.source, strict) and _side(rule.dst, flow.destination, strict)):
            return False
        if not _destination_port(rule.dst, flow):
            return False
        return all_of([source_port(rule.src, flow.source), http(rule.http)])


def side_sets(side: Side) -> Iterator[str]:
    """Every set that one end of a rule names."""
    yield from side.sets
    yield from side.not_sets
    yield from side.services
    for ports in (side.ports, side.not_ports):
        if ports is not None:
            yield from ports.named


def _side(side: Side, end: Signature, strict: bool) -> bool:
    inside, outside = (end.owned, end.seen) if strict else (end.seen, end.owned)
    if side.nets is not None and not any(net in end.nets for net in side.nets):
        return False
    if any(net in end.nets for net in side.not_nets):
        return False
    return all(one in inside for one in side.sets) and not any(one in outside for one in side.not_sets)


def _destination_port(side: Side, flow: Flow) -> bool:
    services = flow.destination.services
    if side.services and not any((name, flow.port) in services for name in side.services):
        return False
    if side.ports is not None and not _has(side.ports, flow.destination, flow.port):
        return False
    return side.not_ports is None or not _has(side.not_ports, flow.destination, flow.port)


def _has(ports: Ports, end: Signature, port: int) -> bool:
    if any(one.first <= port <= one.last for one in ports.ranges):
        return True
    return any((name, port) in end.services for name in ports.named)


def source_port(side: Side, end: Signature) -> Settled:
    """The clauses of a source that its port must satisfy."""
    terms: list[Settled] = []
    if side.services:
        terms.append(_ports([port for name, port in end.services if name in side.services]))
    if side.ports is not None:
        terms.append(_source(side.ports, end))
    if side.not_ports is not None:
        terms.append(negate(_source(side.not_ports, end)))
    return all_of(terms)


def _source(ports: Ports, end: Signature) -> Settled:
    named = _ports([port for name, port in end.services if name in ports.named])
    return any_of([named, *(_range(one) for one in ports.ranges)])


def _ports(ports: list[int]) -> Settled:
    return any_of([SourcePort(first=port, last=port) for port in sorted(ports)])


def _range(one: PortRange) -> Settled:
    if one.first <= 0 and one.last >= 65535:
        return True
    return SourcePort(first=one.first, last=one.last)


def http(clause: Http | None) -> Settled:
    """An HTTP clause. One that names nothing still wants HTTP."""
    if clause is None:
        return True
    terms: list[Settled] = [Text(header=":method", regex=".+")]
    if clause.methods and "*" not in clause.methods:
        terms = [any_of([Text(header=":method", exact=one) for one in clause.methods])]
    if clause.paths:
        terms.append(any_of([path(one) for one in clause.paths]))
    return all_of(terms)


def path(clause: PathMatch) -> Settled:
    """A path clause. `:path` holds the query as well, which is no part of the path.

    Matching is on the normalised path, which ends in no slash; Envoy keeps that slash, so both
    spellings of a path are the same path here.
    """
    if clause.exact is not None:
        base = clause.exact.rstrip("/")
        ends = ["/"] if not base else ["", "/"]
        return any_of([_spelling(base + end) for end in ends])
    base = (clause.prefix or "").rstrip("/")
    if not base:
        return Text(header=":path", prefix="/")
    return any_of([_spelling(base), Text(header=":path", prefix=base + "/")])


def _spelling(text: str) -> Settled:
    return any_of([Text(header=":path", exact=text), Text(header=":path", prefix=text + "?")])
