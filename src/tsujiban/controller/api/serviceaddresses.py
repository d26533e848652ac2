"""Which addresses a service may have: nobody draws another's traffic to themselves by claiming its address.

A service's address leads to its pods from everywhere in the cluster, whoever the packets were meant for.
So one that is asked for must be of the service network and nobody's. An external address is somebody's
outside, and to take it is a right of its own, `update` on `services/externalips`; never is it one of the
cluster's own.
Source: Kubernetes, "Service ClusterIP allocation"; CVE-2020-8554.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import msgspec

from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.authorize import Authorizer, refused
from tsujiban.controller.api.documents import dig
from tsujiban.controller.api.errors import invalid
from tsujiban.controller.api.guard import Review
from tsujiban.policy.addresses import canonical
from tsujiban.resources.findings import Finding
from tsujiban.store.protocol import Key, Store

Json = dict[str, Any]

CLUSTER, EXTERNAL = "spec.clusterIPs", "spec.externalIPs"


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
        new = dict(_claims(review.new or {}))
        added = {
            address: field for address, field in new.items() if address not in dict(_claims(review.old or {}))
        }
        if not added:
            return None
        taken = await self._taken(review.key)
        findings = [
            Finding(code="bad-address", message=f"Invalid value: {problem}", field=field)
            for address, field in added.items()
            if (problem := self._problem(address, field, taken))
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
        """Why a service may not have an address; "" when it may."""
        inside = _within(address, (self._network,))
        if field == CLUSTER and not inside:
            return f"{address}: the provided IP is not in the valid range; it is {self._network}"
        if address in taken or (inside and address in self._reserved):
            return f"{address}: provided IP is already allocated"
        return f"{address}: is of the service network" if field == EXTERNAL and inside else ""

    async def _taken(self, own: Key) -> frozenset[str]:
        """The addresses of all other services."""
        found = await self._store.list("", "services")
        return frozenset(
            address
            for item in found.items
            if item.key != own
            for address, _ in _claims(msgspec.json.decode(item.value))
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


def _claims(service: Json) -> Iterator[tuple[str, str]]:
    """The addresses that a service has or asks for, each with its field."""
    spec = service.get("spec") or {}
    single = [spec["clusterIP"]] if spec.get("clusterIP") else []
    for field, addresses in (
        (EXTERNAL, spec.get("externalIPs")),
        (CLUSTER, [*single, *spec.get("clusterIPs", ())]),
    ):
        yield from ((canonical(address), field) for address in addresses or () if address not in ("", "None"))


def _within(address: str, networks: Iterable[str]) -> bool:
    parsed = ip_address(address)
    return any(parsed in ip_network(network, strict=False) for network in networks)


def _is_a_machines(address: str) -> bool:
    parsed = ip_address(address)
    return not (parsed.is_unspecified or parsed.is_loopback or parsed.is_link_local or parsed.is_multicast)
