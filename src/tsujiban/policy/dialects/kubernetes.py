"""networking.k8s.io/v1 NetworkPolicy, and Calico's staged form of it.

A rule's peers and ports are both disjunctions, and each port has its own protocol, so one rule
of the user's becomes a few compiled rules that carry the same id. Source: Kubernetes API
reference, NetworkPolicySpec.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tsujiban.policy import predicates
from tsujiban.policy.definitions import NetworkPolicyForm, Sets
from tsujiban.policy.dialects.common import DEFAULT, Place, port_range, protocol_number
from tsujiban.policy.program import Action, Direction, PolicyProgram, Ports, Rule, Side
from tsujiban.resources import defaults
from tsujiban.resources.kinds.calico import StagedKubernetesNetworkPolicy
from tsujiban.resources.kinds.netpol import (
    NetworkPolicy,
    NetworkPolicyEgressRule,
    NetworkPolicyIngressRule,
    NetworkPolicyPeer,
    NetworkPolicyPort,
)
from tsujiban.resources.selectors import Selector

# the peer's side of a rule, and the selector of the endpoints there (None: not by selector)
_Peer = tuple[Side, Selector | None]


def compile_policy(
    policy: NetworkPolicy | StagedKubernetesNetworkPolicy, place: Place
) -> NetworkPolicyForm | None:
    """The normal form; None for a staged policy that only asks for a deletion, or for nothing."""
    staged = False
    if isinstance(policy, StagedKubernetesNetworkPolicy):
        staged = True
        if policy.spec.staged_action in ("Delete", "Ignore"):
            return None
    namespace, name = policy.metadata.namespace or "default", policy.metadata.name
    prefix = f"{namespace}/{'staged-knp' if staged else 'knp'}:{name}"
    spec = policy.spec
    subjects = predicates.pods(namespace, None, spec.pod_selector)
    sets = Sets()
    types = defaults.kubernetes_types(spec)
    ingress: list[Rule] = []
    for index, incoming in enumerate(spec.ingress):
        ingress += _rules(
            Direction.INGRESS,
            f"{prefix}/ingress/{index}",
            _peers(incoming.from_, namespace, sets),
            incoming,
            subjects,
            sets,
            place,
            index,
        )
    egress: list[Rule] = []
    for index, outgoing in enumerate(spec.egress):
        egress += _rules(
            Direction.EGRESS,
            f"{prefix}/egress/{index}",
            _peers(outgoing.to, namespace, sets),
            outgoing,
            subjects,
            sets,
            place,
            index,
        )
    program = PolicyProgram(
        id=prefix, staged=staged, ingress=tuple(ingress), egress=tuple(egress), origin=place.origin()
    )
    return NetworkPolicyForm(
        program=program,
        tier=DEFAULT,
        order=defaults.KUBERNETES_POLICY_ORDER,
        tie=(name, namespace, "KubernetesNetworkPolicy"),  # Calico's name for the kind
        selector=subjects,
        directions=tuple(d for d in Direction if d.capitalize() in types),
        sets=sets.definitions,
    )


def _peers(peers: Sequence[NetworkPolicyPeer], namespace: str, sets: Sets) -> list[_Peer]:
    if not peers:
        return [(Side(), None)]
    found: list[_Peer] = []
    selected: list[Selector] = []
    nets: list[str] = []
    for peer in peers:
        if peer.ip_block is not None:
            if peer.ip_block.except_:
                found.append((Side(nets=(peer.ip_block.cidr,), not_nets=peer.ip_block.except_), None))
            else:
                nets.append(peer.ip_block.cidr)
        elif peer.namespace_selector is None:
            selected.append(predicates.pods(namespace, None, peer.pod_selector))
        else:
            selected.append(predicates.pods(None, peer.namespace_selector, peer.pod_selector))
    if nets:
        found.append((Side(nets=tuple(nets)), None))
    if selected:
        selector = predicates.union(selected)
        found.append((Side(sets=(sets.endpoints(selector),)), selector))
    return found


def _rules(
    direction: Direction,
    name: str,
    peers: list[_Peer],
    rule: NetworkPolicyIngressRule | NetworkPolicyEgressRule,
    subjects: Selector,
    sets: Sets,
    place: Place,
    index: int,
) -> Iterator[Rule]:
    origin = place.origin(f"spec.{direction}[{index}]")
    for peer, selector in peers:
        targets = subjects if direction is Direction.INGRESS else (selector or predicates.IN_KUBERNETES)
        for protocols, ports in _ports(rule.ports, targets, sets):
            if direction is Direction.INGRESS:
                source, destination = peer, Side(ports=ports)
            else:
                source = Side()
                destination = Side(nets=peer.nets, not_nets=peer.not_nets, sets=peer.sets, ports=ports)
            yield Rule(
                id=name,
                action=Action.ALLOW,
                protocols=protocols,
                src=source,
                dst=destination,
                origin=origin,
            )


def _ports(
    ports: Sequence[NetworkPolicyPort], targets: Selector, sets: Sets
) -> list[tuple[tuple[int, ...], Ports | None]]:
    """By protocol; None is all ports of it."""
    if not ports:
        return [((), None)]
    by_protocol: dict[int, list[NetworkPolicyPort]] = {}
    for port in ports:
        by_protocol.setdefault(protocol_number(port.protocol or "TCP"), []).append(port)
    found: list[tuple[tuple[int, ...], Ports | None]] = []
    for protocol, entries in by_protocol.items():
        if any(entry.port is None for entry in entries):
            found.append(((protocol,), None))
            continue
        ranges, named = [], []
        for entry in entries:
            if isinstance(entry.port, str):
                named.append(sets.named_port(entry.port, protocol, targets))
            elif entry.port is not None:
                ranges.append(port_range(entry.port, entry.end_port))
        found.append(((protocol,), Ports(ranges=tuple(ranges), named=tuple(named))))
    return found
