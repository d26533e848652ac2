"""Addresses from the store's point of view: what the pods and nodes hold is claimed, the rest is free.

Keeps the allocator (`network.ipam`) in step with the world, so that it needs no state of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from ipaddress import ip_address, ip_network

import structlog

from tsujiban.controller.loop import Change
from tsujiban.controller.world import IP_POOLS, NODES, PODS, Json, Ref, World, is_finished
from tsujiban.network.ipam import Ipam, IpamError, Pool

log = structlog.get_logger(__name__)


class Addresses:
    """The cluster's addresses. Used from the control loop's task only."""

    def __init__(self) -> None:
        self._pools: list[Pool] = []
        self._ipam = Ipam([])

    def observe(self, world: World, changes: Iterable[Change]) -> None:
        """Follow pods, nodes and pools."""
        if any(change.ref[:2] == IP_POOLS for change in changes):
            self._rebuild(world)
            return
        for change in changes:
            if change.ref[:2] == NODES:
                self._node(change)
            elif change.ref[:2] == PODS:
                self._pod(change)

    def allocate(self, world: World, node: str, ref: Ref) -> tuple[str, ...]:
        """Addresses for a pod on a node; () when the pools are exhausted."""
        pod = world.get(ref)
        if pod is None:
            return ()
        try:
            return (self._ipam.allocate(pod["metadata"]["uid"], node),)
        except IpamError as error:
            log.warning("no address", pod=f"{ref.namespace}/{ref.name}", node=node, reason=str(error))
            return ()

    def blocks(self, node: str) -> tuple[str, ...]:
        """A node's blocks; it gets its first one when it asks. Raises IpamError."""
        if not self._ipam.blocks(node):
            self._ipam.assign_block(node)
        return tuple(self._ipam.blocks(node))

    def held(self, node: str) -> tuple[str, ...]:
        """A node's blocks, as they are."""
        return tuple(self._ipam.blocks(node))

    def pools(self) -> tuple[str, ...]:
        """CIDRs of all pools."""
        return tuple(pool.cidr for pool in self._pools)

    def _rebuild(self, world: World) -> None:
        self._pools = []
        for ref, obj in sorted(world.all(IP_POOLS)):
            pool = _pool(obj)
            try:
                Ipam([*self._pools, pool])
            except IpamError as error:
                log.error("a pool cannot be used", pool=ref.name, reason=str(error))
            else:
                self._pools.append(pool)
        self._ipam = Ipam(self._pools)
        for ref, node in sorted(world.all(NODES)):
            self._claim_blocks(ref.name, node)
        for _, pod in world.all(PODS):
            self._claim(pod)

    def _node(self, change: Change) -> None:
        if change.new is None:
            self._ipam.release_node(change.ref.name)
        else:
            self._claim_blocks(change.ref.name, change.new)

    def _claim_blocks(self, name: str, node: Json) -> None:
        for block in node.get("spec", {}).get("podCIDRs", ()):
            try:
                self._ipam.claim_block(name, block)
            except IpamError as error:
                log.error("a node's block cannot be its own", node=name, reason=str(error))

    def _pod(self, change: Change) -> None:
        for pod in (change.old, change.new):
            if pod is not None and (change.new is None or is_finished(pod)):
                self._ipam.release(pod["metadata"]["uid"])
        if change.new is not None and not is_finished(change.new):
            self._claim(change.new)

    def _claim(self, pod: Json) -> None:
        if is_finished(pod):
            return
        for entry in pod.get("status", {}).get("podIPs", ()):
            self._claim_block_of(pod, entry["ip"])
            try:
                self._ipam.claim(pod["metadata"]["uid"], entry["ip"])
            except IpamError as error:
                log.error("a pod's address cannot be its own", pod=pod["metadata"]["name"], reason=str(error))

    def _claim_block_of(self, pod: Json, address: str) -> None:
        """A node's further block is written after the first pod in it; if it was not, the pod tells."""
        node = pod["spec"].get("nodeName")
        parsed = ip_address(address)
        for pool in self._pools:
            if node and parsed in pool.network:
                block = ip_network(f"{address}/{pool.prefix}", strict=False)
                with contextlib.suppress(IpamError):  # another node's: the claim of the address says so
                    self._ipam.claim_block(node, str(block))


def _pool(obj: Json) -> Pool:
    spec = obj["spec"]
    return Pool(
        cidr=spec["cidr"], block_size=spec.get("blockSize", 0), disabled=bool(spec.get("disabled", False))
    )
