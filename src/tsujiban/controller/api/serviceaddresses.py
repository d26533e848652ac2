"""Which addresses a service may have: nobody draws another's traffic to themselves by claiming its address.

A service's address leads to its pods from everywhere in the cluster, whoever the packets were meant for.
So one that is asked for must be of the service network and nobody's. An external address is somebody's
outside, and to take it is a right of its own, `update` on `services/externalips`; never is it one of the
cluster's own. A port of the nodes is one service's, too. What is refused here is refused with all its errors,
and in dry runs; that two who ask at the same moment do not both get it, the store sees to (`serviceclaims`).
Source: Kubernetes, "Service ClusterIP allocation"; CVE-2020-8554.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Any

import msgspec

from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.authorize import Authorizer, refused
from tsujiban.controller.api.documents import dig
from tsujiban.controller.api.errors import invalid
from tsujiban.controller.api.guard import Review
from tsujiban.controller.serviceclaims import CLUSTER, EXTERNAL, PORT, allocated, claims
from tsujiban.policy.addresses import canonical
from tsujiban.resources.findings import Finding
from tsujiban.store.protocol import Key, Store

Json = dict[str, Any]

NODE_PORTS = range(30000, 32768)  # Kubernetes' default


class ServiceAddresses:
    """Reviews writes of services. `network` is that of services; `reserved` are those of its addresses that
    the control plane gives by itself."""

    def __init__(self, store: Store, authorizer: Authorizer, network: str, reserved: frozenset[str]) -> None:
        self._store = store
        self._authorizer = authorizer
        self._network = network
        self._reserved = reserved

    async def review(self, review: Review) -> Json | None:
        """Raises ApiError (403, 422)."""
        held = claims(review.old or {})
        added = {name: field for name, field in claims(review.new or {}).items() if name not in held}
        if not added:
            return None
        taken = await self._taken(review.key)
        findings = [
            Finding(code="bad-address", message=f"Invalid value: {problem}", field=field)
            for name, field in added.items()
            if (problem := self._problem(name, field, taken))
        ]
        external = [address for address, field in added.items() if field == EXTERNAL]
        if external and not findings:
            findings = await self._of_the_cluster(external)
        if findings:
            raise invalid("Service", "", review.key.name, findings)
        if external:
            await self._require(review)
        return None

    def _problem(self, address: str, field: str, taken: frozenset[str]) -> str:
        """Why a service may not have an address, or a port; "" when it may."""
        if address.startswith(PORT):
            return _problem_of_port(address, taken)
        inside = _within(address, (self._network,))
        if field == CLUSTER and not inside:
            return f"{address}: the provided IP is not in the valid range; it is {self._network}"
        if address in taken or (inside and address in self._reserved):
            return allocated(address)
        return f"{address}: is of the service network" if field == EXTERNAL and inside else ""

    async def _taken(self, own: Key) -> frozenset[str]:
        """What all other services have."""
        found = await self._store.list("", "services")
        return frozenset(
            name
            for item in found.items
            if item.key != own
            for name in claims(msgspec.json.decode(item.value))
        )

    async def _of_the_cluster(self, external: Iterable[str]) -> list[Finding]:
        """What is wrong with external addresses that are the cluster's own, or no machine's."""
        pools = await self._store.list("projectcalico.org", "ippools")
        networks = [str(dig(msgspec.json.decode(item.value), "spec", "cidr")) for item in pools.items]
        nodes = await self._store.list("", "nodes")
        machines = {
            canonical(str(entry.get("address")))
            for item in nodes.items
            for entry in dig(msgspec.json.decode(item.value), "status", "addresses") or ()
            if entry.get("type") != "Hostname"
        }
        return [
            Finding(code="bad-address", message=f"Invalid value: {address}: {what}", field=EXTERNAL)
            for address in external
            for what in (
                "is of the pods' network" if _within(address, networks) else "",
                "is the address of a node" if address in machines else "",
                ""
                if _is_a_machines(address)
                else "may not be an unspecified, loopback, link-local or multicast one",
            )
            if what
        ]

    async def _require(self, review: Review) -> None:
        wanted = Attributes(
            verb="update",
            version="v1",
            resource="services",
            subresource="externalips",
            namespace=review.key.namespace,
            name=review.key.name,
        )
        decision = await self._authorizer.decide(review.user, wanted)
        if not decision.allowed:
            why = "external addresses draw the traffic of the whole cluster to this service"
            raise refused(review.user, wanted, decision.reason or why)


def _problem_of_port(name: str, taken: frozenset[str]) -> str:
    number = int(name.removeprefix(PORT))
    if number not in NODE_PORTS:
        known = f"{NODE_PORTS.start}-{NODE_PORTS.stop - 1}"
        return f"{number}: provided port is not in the valid range. The range of valid ports is {known}"
    return allocated(name) if name in taken else ""


def _within(address: str, networks: Iterable[str]) -> bool:
    parsed = ip_address(address)
    return any(parsed in ip_network(network, strict=False) for network in networks)


def _is_a_machines(address: str) -> bool:
    parsed = ip_address(address)
    return not (parsed.is_unspecified or parsed.is_loopback or parsed.is_link_local or parsed.is_multicast)
