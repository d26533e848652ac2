"""policy.networking.k8s.io: ClusterNetworkPolicy, AdminNetworkPolicy, BaselineAdminNetworkPolicy.

Source: sigs.k8s.io/network-policy-api, API reference. Peers never select host-network pods.
A peer that cannot be enforced (a domain name) selects nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tsujiban.policy import predicates
from tsujiban.policy.definitions import NetworkPolicyForm, SetDefinition, SetKind, Sets
from tsujiban.policy.dialects.common import KUBE_ADMIN, KUBE_BASELINE, Place, port_range, protocol_number
from tsujiban.policy.program import Action, Direction, PolicyProgram, PortRange, Ports, Rule, Side
from tsujiban.resources import selectors
from tsujiban.resources.kinds import cnp
from tsujiban.resources.protocols import SCTP, TCP, UDP
from tsujiban.resources.selectors import Selector

ACTIONS = {"accept": Action.ALLOW, "allow": Action.ALLOW, "deny": Action.DENY, "pass": Action.PASS}
WITH_PORTS = (TCP, UDP, SCTP)

AnyPolicy = cnp.ClusterNetworkPolicy | cnp.AdminNetworkPolicy | cnp.BaselineAdminNetworkPolicy
AnyRule = cnp.ClusterIngressRule | cnp.ClusterEgressRule | cnp.AdminIngressRule | cnp.AdminEgressRule
_Ports = tuple[tuple[int, ...], Ports | None]


def compile_policy(policy: AnyPolicy, place: Place) -> NetworkPolicyForm:
    """The normal form of any of the three kinds."""
    name = policy.metadata.name
    tier, order, word = KUBE_BASELINE, 0.0, "banp"
    if isinstance(policy, cnp.ClusterNetworkPolicy):
        word, order = "cnp", float(policy.spec.priority or 0)
        tier = KUBE_BASELINE if policy.spec.tier == "Baseline" else KUBE_ADMIN
    elif isinstance(policy, cnp.AdminNetworkPolicy):
        tier, word, order = KUBE_ADMIN, "anp", float(policy.spec.priority or 0)
    prefix = f"_global/{word}:{name}"
    subjects = _subject(policy.spec.subject)
    sets = Sets()
    incoming: Sequence[cnp.ClusterIngressRule | cnp.AdminIngressRule] = policy.spec.ingress
    outgoing: Sequence[cnp.ClusterEgressRule | cnp.AdminEgressRule] = policy.spec.egress
    ingress = [
        rule
        for index, one in enumerate(incoming)
        for rule in _rules(one, one.from_, Direction.INGRESS, prefix, index, subjects, sets, place)
    ]
    egress = [
        rule
        for index, other in enumerate(outgoing)
        for rule in _rules(other, other.to, Direction.EGRESS, prefix, index, subjects, sets, place)
    ]
    directions = [d for d, rules in ((Direction.INGRESS, incoming), (Direction.EGRESS, outgoing)) if rules]
    return NetworkPolicyForm(
        program=PolicyProgram(id=prefix, ingress=tuple(ingress), egress=tuple(egress), origin=place.origin()),
        tier=tier,
        order=order,
        tie=(name, "", policy.kind),
        selector=subjects,
        directions=tuple(directions),
        sets=sets.definitions,
    )


def _subject(subject: cnp.Subject | None) -> Selector:
    if subject is None:
        return selectors.NOTHING
    return _selected(subject) or selectors.NOTHING


def _selected(peer: cnp.Subject | cnp.IngressPeer | cnp.EgressPeer) -> Selector | None:
    if peer.namespaces is not None:
        return predicates.pods(None, peer.namespaces, None)
    if peer.pods is not None:
        return predicates.pods(None, peer.pods.namespace_selector, peer.pods.pod_selector)
    return None


def _sides(
    peers: Sequence[cnp.IngressPeer | cnp.EgressPeer], sets: Sets
) -> Iterator[tuple[Side, Selector | None]]:
    """Every peer as one side of a rule; selectors are joined into one set."""
    selected: list[Selector] = []
    nets: list[str] = []
    for peer in peers:
        found = _selected(peer)
        if found is not None:
            selected.append(found)
        elif isinstance(peer, cnp.EgressPeer):
            nets += peer.networks or ()
            if peer.nodes is not None:
                nodes = SetDefinition(kind=SetKind.NODES, selector=predicates.labels(peer.nodes))
                yield Side(sets=(sets.add(nodes),)), None
    if nets:
        yield Side(nets=tuple(nets)), None
    if selected:
        selector = predicates.union(selected)
        yield Side(sets=(sets.endpoints(selector),)), selector


def _rules(
    rule: AnyRule,
    peers: Sequence[cnp.IngressPeer | cnp.EgressPeer],
    direction: Direction,
    prefix: str,
    index: int,
    subjects: Selector,
    sets: Sets,
    place: Place,
) -> Iterator[Rule]:
    action = ACTIONS[rule.action.lower()]
    for peer, selector in _sides(peers, sets):
        targets = subjects if direction is Direction.INGRESS else (selector or predicates.IN_KUBERNETES)
        for protocols, ports in _ports(rule, targets, sets):
            if direction is Direction.INGRESS:
                source, destination = peer, Side(ports=ports)
            else:
                source, destination = Side(), Side(nets=peer.nets, sets=peer.sets, ports=ports)
            yield Rule(
                id=f"{prefix}/{direction}/{index}",
                action=action,
                protocols=protocols,
                src=source,
                dst=destination,
                origin=place.origin(f"spec.{direction}[{index}]"),
            )


def _ports(rule: AnyRule, targets: Selector, sets: Sets) -> list[_Ports]:
    if isinstance(rule, cnp.ClusterIngressRule | cnp.ClusterEgressRule):
        if not rule.protocols:
            return [((), None)]
        return _gather([_cluster_port(p, targets, sets) for p in rule.protocols])
    if not rule.ports:
        return [((), None)]
    return _gather([_admin_port(p, targets, sets) for p in rule.ports])


# a protocol (0: any with ports), a range of its ports (None: all), a named port's set
_Port = tuple[int, PortRange | None, str]


def _cluster_port(protocol: cnp.Protocol, targets: Selector, sets: Sets) -> _Port:
    if protocol.destination_named_port is not None:
        return 0, None, sets.named_port(protocol.destination_named_port, 0, targets)
    for number, clause in ((TCP, protocol.tcp), (UDP, protocol.udp), (SCTP, protocol.sctp)):
        if clause is None:
            continue
        port = clause.destination_port
        if port is None:
            return number, None, ""
        if port.number is not None:
            return number, port_range(port.number), ""
        if port.range is not None:
            return number, port_range(port.range.start or 0, port.range.end), ""
        return number, None, ""
    raise ValueError("a protocol clause names no protocol")


def _admin_port(port: cnp.AdminPort, targets: Selector, sets: Sets) -> _Port:
    if port.named_port is not None:
        return 0, None, sets.named_port(port.named_port, 0, targets)
    if port.port_number is not None:
        number = protocol_number(port.port_number.protocol or "TCP")
        return number, port_range(port.port_number.port or 0), ""
    if port.port_range is not None:
        number = protocol_number(port.port_range.protocol or "TCP")
        return number, port_range(port.port_range.start or 0, port.port_range.end), ""
    raise ValueError("a port clause names no port")


def _gather(ports: list[_Port]) -> list[_Ports]:
    """One port clause a protocol, and one for the named ports."""
    whole = {protocol for protocol, ranges, name in ports if ranges is None and not name}
    found: list[_Ports] = [((protocol,), None) for protocol in sorted(whole)]
    ranges: dict[int, list[PortRange]] = {}
    for protocol, one, _ in ports:
        if one is not None and protocol not in whole:
            ranges.setdefault(protocol, []).append(one)
    found += [((protocol,), Ports(ranges=tuple(some))) for protocol, some in ranges.items()]
    named = tuple(name for _, _, name in ports if name)
    if named:
        found.append((WITH_PORTS, Ports(named=named)))
    return found
