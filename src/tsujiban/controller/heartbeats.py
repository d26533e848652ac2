"""Heartbeats: each node's Lease in `kube-node-lease`, renewed while its agent reports, as a kubelet does.

The agents do not write it themselves: they speak with the controller already, on a stream that proves who
they are, and one write in ten seconds is all that a node costs the store. Source: Kubernetes documentation,
"Leases".
"""

from __future__ import annotations

from datetime import UTC, datetime

from tsujiban.controller.world import NAMESPACES, NODES, Json, Ref, World

NAMESPACE = "kube-node-lease"
LEASES = ("coordination.k8s.io", "leases")
LEASE_SECONDS = 40
RENEW_SECONDS = 10.0
SILENT_SECONDS = 40.0  # a node that is connected and says nothing so long is lost


def lease_of(node: str) -> Ref:
    """Where a node's lease is."""
    return Ref(*LEASES, NAMESPACE, node)


def renewed(world: World, node: str, now: float) -> Json | None:
    """The lease as it must be written now (UNIX seconds); None without the node, or a namespace for it."""
    owner = world.find(NODES, "", node)
    if owner is None or world.find(NAMESPACES, "", NAMESPACE) is None:
        return None
    held = world.get(lease_of(node))
    spec = {
        "holderIdentity": node,
        "leaseDurationSeconds": LEASE_SECONDS,
        "renewTime": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    if held is not None:
        return {**held, "spec": {**held.get("spec", {}), **spec}}
    reference = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": owner["metadata"]["uid"]}
    metadata = {"name": node, "namespace": NAMESPACE, "ownerReferences": [reference]}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


class Pulse:
    """When each node was last heard, and when its lease was last renewed (monotonic seconds)."""

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}
        self._renewed: dict[str, float] = {}

    def heard(self, node: str, now: float) -> bool:
        """Note that a node has spoken; whether its lease is due."""
        self._heard[node] = now
        if now - self._renewed.get(node, -RENEW_SECONDS) < RENEW_SECONDS:
            return False
        self._renewed[node] = now
        return True

    def silent(self, now: float) -> list[str]:
        """Nodes that have not been heard for too long."""
        return [node for node, when in self._heard.items() if now - when > SILENT_SECONDS]

    def forget(self, node: str) -> None:
        """It has gone: its silence means nothing more."""
        self._heard.pop(node, None)
        self._renewed.pop(node, None)
