"""Service to virtual address: every ClusterIP service gets one from the service network."""

from __future__ import annotations

import ipaddress

from tsujiban.controller.reconcile.actions import Action, Update
from tsujiban.controller.world import SERVICES, Json, Ref, World


def plan(world: World, ref: Ref, cidr: str, reserved: frozenset[str]) -> list[Action]:
    """Give one service an address of `cidr` that is neither taken nor `reserved`."""
    service = world.get(ref)
    if service is None or service["spec"].get("type") == "ExternalName":
        return []
    if service["spec"].get("clusterIP"):
        return []  # assigned, asked for by the user, or "None"
    taken = reserved | {a for _, other in world.all(SERVICES) for a in addresses(other)}
    for address in ipaddress.ip_network(cidr).hosts():
        if str(address) not in taken:
            spec = {**service["spec"], "clusterIP": str(address), "clusterIPs": [str(address)]}
            return [Update(ref, {**service, "spec": spec})]
    return []


def addresses(service: Json) -> list[str]:
    """A service's virtual addresses; none for a headless one."""
    spec = service["spec"]
    found = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return [address for address in found if address and address != "None"]
