"""Names that several rooms must derive in the same way from a pod or a cluster.

They are pure functions of identifiers, so that the controller can tell a node the name of an
interface that does not exist yet, and a restarted agent finds what it made before.
"""

from __future__ import annotations

import hashlib

SPIFFE_SCHEME = "spiffe://"
# group of what controllers keep for each other in the store; not in the registry, so that no path leads there
INTERNAL_GROUP = "internal.tsujiban.io"
_LINK_PREFIX = "tsj"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def link_name(pod_uid: str) -> str:
    """Name of the host side of a pod's veth: 15 characters, the longest that Linux takes."""
    return _LINK_PREFIX + _digest(pod_uid)[:12]


def pod_mac(pod_uid: str) -> str:
    """Locally administered unicast MAC address of the pod's side of its veth."""
    digits = _digest("mac " + pod_uid)
    return ":".join(["02", *(digits[i : i + 2] for i in range(0, 10, 2))])


def cluster_prefix(cluster: str) -> str:
    """Prefix of the name of every network namespace that belongs to a local cluster."""
    return f"tsj-{cluster}-"


def node_namespace(cluster: str, node: str) -> str:
    """Network namespace of a node of a local cluster."""
    return cluster_prefix(cluster) + node


def pod_namespace(cluster: str, pod_uid: str) -> str:
    """Network namespace of a pod."""
    return f"{cluster_prefix(cluster)}p-{_digest(pod_uid)[:12]}"


def link_namespace(cluster: str, link: str) -> str:
    """Network namespace of the pod whose veth's host side has this name (`link_name`)."""
    return f"{cluster_prefix(cluster)}p-{link.removeprefix(_LINK_PREFIX)}"


def fabric_namespace(cluster: str) -> str:
    """Network namespace of the bridge that joins the nodes of a local cluster."""
    return cluster_prefix(cluster) + "fabric"


def workload_identity(trust_domain: str, namespace: str, service_account: str) -> str:
    """SPIFFE ID of a workload (SPIFFE-ID section 2; the path is the one Istio uses)."""
    return f"{SPIFFE_SCHEME}{trust_domain}/ns/{namespace}/sa/{service_account}"


def node_identity(trust_domain: str, node: str) -> str:
    """SPIFFE ID of a node's agent."""
    return f"{SPIFFE_SCHEME}{trust_domain}/node/{node}"
