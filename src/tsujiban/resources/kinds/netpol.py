"""networking.k8s.io/v1 NetworkPolicy (Kubernetes API reference)."""

from __future__ import annotations

from typing import Any

import msgspec

from tsujiban.resources.kinds.meta import LabelSelector, Object, Shape


class IPBlock(Shape, frozen=True):
    """A CIDR, less the CIDRs of `except_`, which lie inside it."""

    cidr: str = ""
    except_: tuple[str, ...] = msgspec.field(default=(), name="except")


class NetworkPolicyPeer(Shape, frozen=True):
    """Either `ip_block`, or one or both selectors. No pod selector: all pods; no namespace
    selector: the policy's own namespace."""

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IPBlock | None = None


class NetworkPolicyPort(Shape, frozen=True):
    """`port` is a number or a name (None: all); `protocol` defaults to TCP."""

    protocol: str | None = None
    port: int | str | None = None
    end_port: int | None = None


class NetworkPolicyIngressRule(Shape, frozen=True):
    """Empty `from_` is any source, empty `ports` any port."""

    from_: tuple[NetworkPolicyPeer, ...] = msgspec.field(default=(), name="from")
    ports: tuple[NetworkPolicyPort, ...] = ()


class NetworkPolicyEgressRule(Shape, frozen=True):
    """Empty `to` is any destination, empty `ports` any port."""

    to: tuple[NetworkPolicyPeer, ...] = ()
    ports: tuple[NetworkPolicyPort, ...] = ()


class NetworkPolicySpec(Shape, frozen=True):
    """`policy_types` None is not given: see `resources.defaults`."""

    pod_selector: LabelSelector = LabelSelector()
    ingress: tuple[NetworkPolicyIngressRule, ...] = ()
    egress: tuple[NetworkPolicyEgressRule, ...] = ()
    policy_types: tuple[str, ...] | None = None


class NetworkPolicy(Object, frozen=True):
    """Kubernetes NetworkPolicy."""

    spec: NetworkPolicySpec = NetworkPolicySpec()
    status: Any = None
