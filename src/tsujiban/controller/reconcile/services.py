"""Service to virtual address: every ClusterIP service gets one from the service network.

Addresses are given in turn, and one that has become free is not given again before the others were: whoever
still knows it by its old name does not meet another service there. A turn is as long as the run of
addresses that are taken, which is short while the network has room.
"""

from __future__ import annotations

from ipaddress import ip_network

from tsujiban.controller.reconcile.actions import Action, Update
from tsujiban.controller.world import Json, Ref, World


class Assigner:
    """Gives the addresses of a network, but for those that are reserved."""

    def __init__(self, cidr: str, reserved: frozenset[str]) -> None:
        self._network = ip_network(cidr)
        self._reserved = reserved
        self._last = 0  # which address was given last

    def plan(self, world: World, ref: Ref) -> list[Action]:
        """Give one service an address that nobody has."""
        service = world.get(ref)
        if service is None or service["spec"].get("type") == "ExternalName":
            return []
        if service["spec"].get("clusterIP"):
            return []  # assigned, asked for by the user, or "None"
        address = self._free(world)
        if address is None:
            return []
        spec = {**service["spec"], "clusterIP": address, "clusterIPs": [address]}
        updated: Json = {**service, "spec": spec}
        return [Update(ref, updated)]

    def _free(self, world: World) -> str | None:
        hosts = self._network.num_addresses - 2  # neither the network's own address nor the broadcast
        for step in range(hosts):
            number = (self._last + step) % hosts + 1
            address = str(self._network[number])
            if address not in world.addresses and address not in self._reserved:
                self._last = number
                return address
        return None
