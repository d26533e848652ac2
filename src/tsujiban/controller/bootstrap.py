"""What every cluster starts with: its first namespaces, an address pool, and the built-in roles.

Namespaces and pool are written only when absent, so a user's changes stay; of the roles see
`controller/roles.py`. Service accounts follow by reconciliation.
"""

from __future__ import annotations

import msgspec

from tsujiban.controller import heartbeats, roles
from tsujiban.controller.world import IP_POOLS, NAMESPACES, Json, Ref
from tsujiban.store.protocol import AlreadyExists, Conflict, Key, NotFound, Store

DEFAULT_POOL = "default-pool"


def initial_objects(pod_cidr: str, block_size: int) -> list[tuple[Ref, Json]]:
    """The objects of an empty cluster, in the order in which they are written."""
    objects: list[tuple[Ref, Json]] = []
    for name in ("default", "kube-system", heartbeats.NAMESPACE):
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


async def ensure_roles(store: Store) -> None:
    """Write the built-in roles and bindings, or what they lack. What somebody else is just writing is
    theirs: the next start looks again."""
    for ref, wanted in roles.objects():
        key = Key(*ref)
        try:
            current = await store.get(key)
        except NotFound:
            await ensure(store, [(ref, wanted)])
            continue
        changed = roles.reconciled(msgspec.json.decode(current.value), wanted)
        if changed is not None:
            try:
                await store.update(key, msgspec.json.encode(changed), current.revision)
            except (Conflict, NotFound):
                continue
