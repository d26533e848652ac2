"""What every cluster starts with: its first namespaces and an address pool.

Written only when absent, so a user's changes stay. Service accounts follow by reconciliation.
"""

from __future__ import annotations

import msgspec

from tsujiban.controller.world import IP_POOLS, NAMESPACES, Json, Ref
from tsujiban.store.protocol import AlreadyExists, Key, Store

DEFAULT_POOL = "default-pool"


def initial_objects(pod_cidr: str, block_size: int) -> list[tuple[Ref, Json]]:
    """The objects of an empty cluster, in the order in which they are written."""
    objects: list[tuple[Ref, Json]] = []
    for name in ("default", "kube-system"):
        metadata = {"name": name, "labels": {"kubernetes.io/metadata.name": name}}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        objects.append((Ref(*NAMESPACES, "", name), namespace))
    pool = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "IPPool",
        "metadata": {"name": DEFAULT_POOL},
        "spec": {"cidr": pod_cidr, "blockSize": block_size, "natOutgoing": False, "vxlanMode": "Never"},
    }
    objects.append((Ref(*IP_POOLS, "", DEFAULT_POOL), pool))
    return objects


async def ensure(store: Store, objects: list[tuple[Ref, Json]]) -> None:
    """Write what is not there yet."""
    for ref, obj in objects:
        try:
            await store.create(Key(*ref), msgspec.json.encode(obj))
        except AlreadyExists:
            continue
