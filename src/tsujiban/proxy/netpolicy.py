"""Network policy at one port between two signatures, as a decision.

Tiers, Pass, default actions and profiles are folded from the last to the first, so that each
rule's target is known when it is reached. A set that is not there fails a rule that opens and
satisfies a rule that denies; a policy that is not there denies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Set

from tsujiban.policy.evaluate import judges_workloads
from tsujiban.policy.program import (
    Action,
    Direction,
    EndpointProgram,
    Http,
    NodeState,
    PolicyProgram,
    PortRange,
    Ports,
    Rule,
    Side,
    Tier,
)
from tsujiban.proxy import paths
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


def counting(state: NodeState, tier: Tier, *, staged: bool) -> list[PolicyProgram | None]:
    """The policies of a tier that count; None for one that is missing. `staged` ones count only where
    it is asked what they would do; those that act before connection tracking or address translation
    are of host endpoints alone, and would else let past what a later policy refuses."""
    found = [state.policies.get(name) for name in tier.policies]
    return [one for one in found if one is None or (judges_workloads(one) and (staged or not one.staged))]


class NetworkPolicy:
    """The network policy of one endpoint and direction."""

    def __init__(
        self, state: NodeState, endpoint: EndpointProgram, direction: Direction, *, staged: bool = False
    ) -> None:
        self._known = state.sets.keys() | state.service_sets.keys()
        # Only who comes in proves an identity to this endpoint; all else is known by address.
        self._proven = direction is Direction.INGRESS
        self._no_profile = Leaf(allow=False, rules=(endpoint.no_profile_id,))
        self._tiers: list[tuple[Leaf | None, _Rules]] = []
        ingress = direction is Direction.INGRESS
        for tier in endpoint.ingress if ingress else endpoint.egress:
            default = Leaf(allow=False, rules=(tier.default_id,))
            policies = counting(state, tier, staged=staged)
            if any(policy is None for policy in policies):
                self._add(default, [])
            elif policies:
                after = None if tier.default_action is Action.PASS else default
                self._add(after, list(_deciding(policies, direction)))
        for name in endpoint.profiles:
            profile = state.policies.get(name)
            if profile is None:
                self._add(self._no_profile, [])
            else:
                self._add(None, list(_deciding([profile], direction)))

    def _add(self, default: Leaf | None, rules: list[Rule]) -> None:
        self._tiers.append((default, _Rules(rules, self._known, source=self._proven)))

    def rules(self) -> Iterator[Rule]:
        """Every rule that can decide, in order."""
        for _, rules in self._tiers:
            yield from rules.listed

    def decide(self, flow: Flow) -> Decision:
        """What the policy makes of a TCP connection."""
        after: Decision = self._no_profile
        for default, rules in reversed(self._tiers):
            current = after if default is None else default
            for rule in rules.about(flow.source if self._proven else flow.destination):
                test = self._match(rule, flow)
                if test is not False:
                    current = branch(test, _target(rule, after), current)
            after = current
        return after

    def _match(self, rule: Rule, flow: Flow) -> Settled:
        if rule.icmp is not None or TCP in rule.not_protocols:
            return False
        if rule.http is not None and not self._proven:  # the client's side reads no HTTP
            return False
        if rule.protocols and TCP not in rule.protocols:
            return False
        if rule.ip_version not in {None, flow.source.version}:
            return False
        closing = rule.action is Action.DENY
        source = flow.source.owned if self._proven else flow.source.seen
        if not self._side(rule.src, flow.source, source, closing):
            return False
        if not self._side(rule.dst, flow.destination, flow.destination.seen, closing):
            return False
        if not self._destination_port(rule.dst, flow, closing):
            return False
        return all_of([self._source_port(rule.src, flow.source, closing), http(rule.http)])

    def _side(self, side: Side, end: Signature, member_of: frozenset[str], closing: bool) -> bool:
        if side.nets is not None and not any(net in end.nets for net in side.nets):
            return False
        if any(net in end.nets for net in side.not_nets):
            return False
        inside = (one in member_of if one in self._known else closing for one in side.sets)
        outside = (one not in member_of if one in self._known else closing for one in side.not_sets)
        return all(inside) and all(outside)

    def _destination_port(self, side: Side, flow: Flow, closing: bool) -> bool:
        end, port = flow.destination, flow.port
        if side.services and not self._named(side.services, end, port, closing):
            return False
        if side.ports is not None and not self._has(side.ports, end, port, closing):
            return False
        return side.not_ports is None or not self._has(side.not_ports, end, port, not closing)

    def _has(self, ports: Ports, end: Signature, port: int, missing: bool) -> bool:
        if any(one.first <= port <= one.last for one in ports.ranges):
            return True
        return self._named(ports.named, end, port, missing)

    def _named(self, sets: Iterable[str], end: Signature, port: int, missing: bool) -> bool:
        return any((one, port) in end.services if one in self._known else missing for one in sets)

    def _source_port(self, side: Side, end: Signature, closing: bool) -> Settled:
        terms: list[Settled] = []
        if side.services:
            terms.append(self._from_named(side.services, end, closing))
        if side.ports is not None:
            terms.append(self._from(side.ports, end, closing))
        if side.not_ports is not None:
            terms.append(negate(self._from(side.not_ports, end, not closing)))
        return all_of(terms)

    def _from(self, ports: Ports, end: Signature, missing: bool) -> Settled:
        named = self._from_named(ports.named, end, missing)
        return any_of([named, *(_range(one) for one in ports.ranges)])

    def _from_named(self, sets: Iterable[str], end: Signature, missing: bool) -> Settled:
        names = set(sets)
        if missing and not names <= self._known:
            return True
        ports = sorted(port for name, port in end.services if name in names)
        return any_of([SourcePort(first=port, last=port) for port in ports])


class _Rules:
    """Rules in order, indexed by the first set or network that they ask of the other end: a
    decision then costs the rules about that end, not all rules."""

    def __init__(self, rules: list[Rule], known: Set[str], *, source: bool) -> None:
        self.listed = rules
        self._any: list[int] = []
        self._by_set: defaultdict[str, list[int]] = defaultdict(list)
        self._by_net: defaultdict[str, list[int]] = defaultdict(list)
        for index, rule in enumerate(rules):
            side = rule.src if source else rule.dst
            sets = [name for name in side.sets if name in known]
            if sets:
                self._by_set[sets[0]].append(index)
            elif side.nets is not None:
                for net in side.nets:
                    self._by_net[net].append(index)
            else:
                self._any.append(index)

    def about(self, end: Signature) -> Iterator[Rule]:
        """Rules that may match this end, from the last to the first."""
        found = set(self._any)
        for name in end.seen & self._by_set.keys():
            found.update(self._by_set[name])
        for net in end.nets & self._by_net.keys():
            found.update(self._by_net[net])
        for index in sorted(found, reverse=True):
            yield self.listed[index]


def _deciding(policies: Iterable[PolicyProgram | None], direction: Direction) -> Iterator[Rule]:
    for policy in policies:
        if policy is not None:
            rules = policy.ingress if direction is Direction.INGRESS else policy.egress
            yield from (rule for rule in rules if rule.action is not Action.LOG)


def _target(rule: Rule, after: Decision) -> Decision:
    if rule.action is Action.PASS:
        return after
    return Leaf(allow=rule.action is Action.ALLOW, rules=(rule.id,))


def side_sets(side: Side) -> Iterator[str]:
    """Every set that one end of a rule names."""
    yield from side.sets
    yield from side.not_sets
    yield from side.services
    for ports in (side.ports, side.not_ports):
        if ports is not None:
            yield from ports.named


def _range(one: PortRange) -> Settled:
    if one.first <= 0 and one.last >= 65535:
        return True
    return SourcePort(first=one.first, last=one.last)


def http(clause: Http | None) -> Settled:
    """An HTTP clause. One that names nothing still wants HTTP."""
    if clause is None:
        return True
    terms: list[Settled] = [paths.HTTP]
    if clause.methods and "*" not in clause.methods:
        terms = [any_of([Text(header=":method", exact=one) for one in clause.methods])]
    if clause.paths:
        terms.append(any_of([paths.path(one) for one in clause.paths]))
        terms.append(negate(paths.AMBIGUOUS))
    return all_of(terms)
