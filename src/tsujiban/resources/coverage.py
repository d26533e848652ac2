"""Rules that can never match, because an earlier rule of the same list takes all that they could.

Only what can be seen from the two rules alone, without knowing any endpoint: a clause that the
earlier rule leaves out, has the same, or has wider. `lint` looks deeper.
"""

from __future__ import annotations

from collections.abc import Sequence

from tsujiban.resources import nets, ports, protocols
from tsujiban.resources.kinds.calico import EntityRule, Rule
from tsujiban.resources.kinds.cnp import (
    AdminEgressRule,
    AdminIngressRule,
    AdminPort,
    ClusterEgressRule,
    ClusterIngressRule,
    EgressPeer,
    IngressPeer,
    Protocol,
)

_DECIDING = frozenset(("Allow", "Deny", "Pass"))

ClusterRule = ClusterIngressRule | ClusterEgressRule | AdminIngressRule | AdminEgressRule


def shadowed_by(rules: Sequence[Rule], index: int) -> int | None:
    """Index of the earlier rule that leaves nothing to rule `index` of a Calico list, or None."""
    for earlier in range(index):
        if rules[earlier].action in _DECIDING and _covers(rules[earlier], rules[index]):
            return earlier
    return None


def cluster_shadowed_by(rules: Sequence[ClusterRule], index: int) -> int | None:
    """The same for the rules of the policy.networking.k8s.io kinds."""
    for earlier in range(index):
        if _cluster_covers(rules[earlier], rules[index]):
            return earlier
    return None


def _covers(wide: Rule, narrow: Rule) -> bool:
    return (
        wide.ip_version in (None, narrow.ip_version)
        and (wide.protocol is None or _same_protocol(wide.protocol, narrow.protocol))
        and (wide.not_protocol is None or wide.not_protocol == narrow.not_protocol)
        and (wide.icmp is None or wide.icmp == narrow.icmp)
        and (wide.not_icmp is None or wide.not_icmp == narrow.not_icmp)
        and (wide.http is None or wide.http == narrow.http)
        and _entity_covers(wide.source, narrow.source)
        and _entity_covers(wide.destination, narrow.destination)
    )


def _same_protocol(wide: int | str, narrow: int | str | None) -> bool:
    return narrow is not None and protocols.number(wide) == protocols.number(narrow)


def _entity_covers(wide: EntityRule, narrow: EntityRule) -> bool:
    return (
        (wide.nets is None or _nets_cover(wide.nets, narrow.nets))
        and (not wide.not_nets or wide.not_nets == narrow.not_nets)
        and (not wide.selector or wide.selector == narrow.selector)
        and (not wide.not_selector or wide.not_selector == narrow.not_selector)
        and (not wide.namespace_selector or wide.namespace_selector == narrow.namespace_selector)
        and (wide.services is None or wide.services == narrow.services)
        and (wide.service_accounts is None or wide.service_accounts == narrow.service_accounts)
        and (not wide.ports or _ports_cover(wide.ports, narrow.ports))
        and (not wide.not_ports or wide.not_ports == narrow.not_ports)
    )


def _nets_cover(wide: Sequence[str], narrow: Sequence[str] | None) -> bool:
    if not narrow:
        return False
    outer = [nets.network(text) for text in wide]
    return all(any(nets.contains(net, nets.network(text)) for net in outer) for text in narrow)


def _ports_cover(wide: Sequence[int | str], narrow: Sequence[int | str]) -> bool:
    if not narrow:
        return False
    outer = [ports.parse(text) for text in wide]
    for text in narrow:
        inner = ports.parse(text)
        if isinstance(inner, str):
            covered = inner in outer
        else:
            covered = any(
                isinstance(port, ports.Range) and port.first <= inner.first and inner.last <= port.last
                for port in outer
            )
        if not covered:
            return False
    return True


def _cluster_covers(wide: ClusterRule, narrow: ClusterRule) -> bool:
    peers = peers_of(wide)
    if not all(peer in peers for peer in peers_of(narrow)):
        return False
    ports = _clauses(wide)
    return ports is None or ports == _clauses(narrow)


def peers_of(rule: ClusterRule) -> Sequence[IngressPeer | EgressPeer]:
    """The `from` or the `to` of a rule."""
    return rule.from_ if isinstance(rule, ClusterIngressRule | AdminIngressRule) else rule.to


def _clauses(rule: ClusterRule) -> Sequence[Protocol | AdminPort] | None:
    return rule.protocols if isinstance(rule, ClusterIngressRule | ClusterEgressRule) else rule.ports
