"""policy.networking.k8s.io: ClusterNetworkPolicy (v1alpha2), AdminNetworkPolicy and
BaselineAdminNetworkPolicy (v1alpha1).

Source: sigs.k8s.io/network-policy-api, API reference. A `namespaces` peer selects all pods of
the namespaces; `pods` needs both of its selectors.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tsujiban.resources.kinds.meta import LabelSelector, Object, Shape


class NamespacedPod(Shape, frozen=True):
    """Pods that `pod_selector` selects in namespaces that `namespace_selector` selects. An absent
    one is the empty one, which selects all (the API server requires `pod_selector`)."""

    namespace_selector: LabelSelector = LabelSelector()
    pod_selector: LabelSelector = LabelSelector()


class Subject(Shape, frozen=True):
    """What a policy applies to: exactly one field is set."""

    namespaces: LabelSelector | None = None
    pods: NamespacedPod | None = None


class IngressPeer(Shape, frozen=True):
    """Exactly one field is set."""

    namespaces: LabelSelector | None = None
    pods: NamespacedPod | None = None


class EgressPeer(Shape, frozen=True):
    """Exactly one field is set. `networks` are CIDRs; `domain_names` are not enforceable here."""

    namespaces: LabelSelector | None = None
    pods: NamespacedPod | None = None
    nodes: LabelSelector | None = None
    networks: tuple[str, ...] | None = None
    domain_names: tuple[str, ...] | None = None


class PortRange(Shape, frozen=True):
    """`start` to `end`, both included."""

    start: int | None = None
    end: int | None = None


class Port(Shape, frozen=True):
    """Exactly one field is set."""

    number: int | None = None
    range: PortRange | None = None


class ProtocolPort(Shape, frozen=True):
    """`tcp`, `udp` or `sctp` of a protocol clause; no port is all ports."""

    destination_port: Port | None = None


class Protocol(Shape, frozen=True):
    """Exactly one field is set."""

    tcp: ProtocolPort | None = None
    udp: ProtocolPort | None = None
    sctp: ProtocolPort | None = None
    destination_named_port: str | None = None


class ClusterIngressRule(Shape, frozen=True):
    """`action` is Accept, Deny or Pass."""

    name: str = ""
    action: str = ""
    from_: tuple[IngressPeer, ...] = msgspec.field(default=(), name="from")
    protocols: tuple[Protocol, ...] | None = None


class ClusterEgressRule(Shape, frozen=True):
    """`action` is Accept, Deny or Pass."""

    name: str = ""
    action: str = ""
    to: tuple[EgressPeer, ...] = ()
    protocols: tuple[Protocol, ...] | None = None


class ClusterNetworkPolicySpec(Shape, frozen=True):
    """`tier` is Admin or Baseline; smaller `priority` first."""

    tier: str = ""
    priority: int | None = None
    subject: Subject | None = None
    ingress: tuple[ClusterIngressRule, ...] = ()
    egress: tuple[ClusterEgressRule, ...] = ()


class ClusterNetworkPolicy(Object, frozen=True):
    """The cluster administrator's policy."""

    spec: ClusterNetworkPolicySpec = ClusterNetworkPolicySpec()
    status: Any = None


class AdminPortNumber(Shape, frozen=True):
    """One port; `protocol` defaults to TCP."""

    protocol: str | None = None
    port: int | None = None


class AdminPortRange(Shape, frozen=True):
    """`start` to `end`, both included; `protocol` defaults to TCP."""

    protocol: str | None = None
    start: int | None = None
    end: int | None = None


class AdminPort(Shape, frozen=True):
    """Exactly one field is set."""

    port_number: AdminPortNumber | None = None
    named_port: str | None = None
    port_range: AdminPortRange | None = None


class AdminIngressRule(Shape, frozen=True):
    """`action` is Allow, Deny or (not in the baseline) Pass."""

    name: str = ""
    action: str = ""
    from_: tuple[IngressPeer, ...] = msgspec.field(default=(), name="from")
    ports: tuple[AdminPort, ...] | None = None


class AdminEgressRule(Shape, frozen=True):
    """`action` is Allow, Deny or (not in the baseline) Pass."""

    name: str = ""
    action: str = ""
    to: tuple[EgressPeer, ...] = ()
    ports: tuple[AdminPort, ...] | None = None


class AdminNetworkPolicySpec(Shape, frozen=True):
    """Smaller `priority` first."""

    priority: int | None = None
    subject: Subject | None = None
    ingress: tuple[AdminIngressRule, ...] = ()
    egress: tuple[AdminEgressRule, ...] = ()


class AdminNetworkPolicy(Object, frozen=True):
    """Policy before the namespaces' own."""

    spec: AdminNetworkPolicySpec = AdminNetworkPolicySpec()
    status: Any = None


class BaselineAdminNetworkPolicySpec(Shape, frozen=True):
    """There is no priority: there is one object."""

    subject: Subject | None = None
    ingress: tuple[AdminIngressRule, ...] = ()
    egress: tuple[AdminEgressRule, ...] = ()


class BaselineAdminNetworkPolicy(Object, frozen=True):
    """Policy for what the namespaces' own leaves open; its name is `default`."""

    spec: BaselineAdminNetworkPolicySpec = BaselineAdminNetworkPolicySpec()
    status: Any = None
