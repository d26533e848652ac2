"""What an absent field means: the defaults that the kinds' own API servers fill in.

Functions rather than rewritten objects: an object may come from a file, as the user wrote it, and who reads a
field that has a default reads it here. (Our own API server also writes those of Kubernetes' kinds into what
it stores, for clients to read: `controller.api.defaulting`.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsujiban.resources.kinds import apps, calico, core, netpol

BUILT_IN_TIERS: dict[str, tuple[float, str]] = {
    "kube-admin": (1_000.0, "Pass"),
    "default": (1_000_000.0, "Deny"),
    "kube-baseline": (10_000_000.0, "Pass"),
}
"""Order and default action of the tiers that always exist."""

KUBERNETES_POLICY_ORDER = 1000.0
"""Order of a Kubernetes NetworkPolicy in the tier `default`."""

ADMIN_NETWORK_POLICY_BASELINE = "default"
"""Name of the one BaselineAdminNetworkPolicy."""


def namespace(name: str) -> str:
    """`metadata.namespace` of a namespaced object."""
    return name or "default"


def tier(spec: calico.PolicySpec) -> str:
    """The tier of a Calico policy."""
    return spec.tier or "default"


def tier_order(name: str, spec: calico.TierSpec) -> float:
    """Order of a tier; infinity (last) when none is given."""
    if name in BUILT_IN_TIERS:
        return BUILT_IN_TIERS[name][0]
    return float("inf") if spec.order is None else spec.order


def tier_action(name: str, spec: calico.TierSpec) -> str:
    """Default action of a tier: Deny or Pass."""
    if name in BUILT_IN_TIERS:
        return BUILT_IN_TIERS[name][1]
    return spec.default_action or "Deny"


def policy_order(spec: calico.PolicySpec) -> float:
    """Order of a Calico policy in its tier; infinity (last) when none is given."""
    return float("inf") if spec.order is None else spec.order


def calico_types(spec: calico.PolicySpec) -> tuple[str, ...]:
    """Directions of a Calico policy: as given, else those that it has rules for, else Ingress."""
    if spec.types:
        return spec.types
    if not spec.egress:
        return ("Ingress",)
    return ("Ingress", "Egress") if spec.ingress else ("Egress",)


def kubernetes_types(
    spec: netpol.NetworkPolicySpec | calico.StagedKubernetesNetworkPolicySpec,
) -> tuple[str, ...]:
    """Directions of a Kubernetes NetworkPolicy: as given, else Ingress, and Egress if it has such rules."""
    if spec.policy_types:
        return spec.policy_types
    return ("Ingress", "Egress") if spec.egress else ("Ingress",)


def protocol(name: str | None) -> str:
    """Protocol of a port of Kubernetes' own kinds."""
    return name or "TCP"


def staged_action(action: str) -> str:
    """`stagedAction` of a staged policy."""
    return action or "Set"


def service_account(spec: core.PodSpec) -> str:
    """The service account that a pod runs as."""
    return spec.service_account_name or spec.service_account or "default"


def replicas(
    spec: apps.DeploymentSpec | apps.StatefulSetSpec | apps.ReplicaSetSpec | apps.ReplicationControllerSpec,
) -> int:
    """How many pods a workload asks for."""
    return 1 if spec.replicas is None else spec.replicas


def target_port(port: core.ServicePort) -> int | str:
    """The port of the pods behind a service's port."""
    return port.port if port.target_port is None or port.target_port in (0, "") else port.target_port


def namespace_labels(name: str, labels: dict[str, str]) -> dict[str, str]:
    """Labels of a namespace: its own and the one that Kubernetes adds with its name."""
    return {**labels, "kubernetes.io/metadata.name": name}


def block_size(spec: calico.IPPoolSpec) -> int:
    """Prefix length of the blocks of a pool."""
    if spec.block_size is not None:
        return spec.block_size
    return 122 if ":" in spec.cidr else 26
