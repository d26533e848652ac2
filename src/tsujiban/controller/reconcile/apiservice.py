"""How pods find the API: Service `kubernetes` in namespace `default`, as in every Kubernetes cluster.

Its address is the first one of the service network, its endpoints are the controllers' own sockets;
both are the control plane's to say, so what somebody changes or deletes of them comes back.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from tsujiban.controller.reconcile.actions import Action, Create, Delete, Update
from tsujiban.controller.world import (
    ENDPOINT_SLICES,
    NAMESPACES,
    SERVICE_LABEL,
    SERVICES,
    Json,
    Ref,
    World,
    virtual_addresses,
)

log = structlog.get_logger(__name__)

NAMESPACE, NAME = "default", "kubernetes"
SERVICE = Ref(*SERVICES, NAMESPACE, NAME)
SLICE = Ref(*ENDPOINT_SLICES, NAMESPACE, NAME)
PORT = 443
_LABELS = {"component": "apiserver", "provider": "kubernetes"}


@dataclass(frozen=True, slots=True)
class ApiAddress:
    """Where the API is for pods: its service address, and the sockets behind it (one port for all)."""

    service: str
    endpoints: tuple[str, ...]
    port: int


def address_of(service_cidr: str, endpoints: Iterable[str]) -> ApiAddress | None:
    """From the configuration's `HOST:PORT`s; None without any. Raises ValueError: what is wrong there."""
    found = [endpoint.rpartition(":") for endpoint in endpoints]
    if not found:
        return None
    ports = {port for _, _, port in found}
    if len(ports) != 1:
        raise ValueError(f"api_endpoints must all have the same port, not {', '.join(sorted(ports))}")
    hosts = tuple(sorted(str(ipaddress.IPv4Address(host)) for host, _, _ in found))
    return ApiAddress(str(next(ipaddress.ip_network(service_cidr).hosts())), hosts, int(ports.pop()))


def names_of(address: ApiAddress, cluster_domain: str) -> tuple[str, ...]:
    """What pods call the API, for its certificate."""
    short = f"{NAME}.{NAMESPACE}"
    return (NAME, short, f"{short}.svc", f"{short}.svc.{cluster_domain}", address.service)


def plan(world: World, address: ApiAddress | None) -> list[Action]:
    """What to write so that the Service and its EndpointSlice are as they must be."""
    if address is None or world.find(NAMESPACES, "", NAMESPACE) is None:
        return []
    for ref, other in world.all(SERVICES):
        if ref != SERVICE and address.service in virtual_addresses(other):
            log.error(
                "pods cannot reach the API: a service has its address; delete that service and make it again",
                service=f"{ref.namespace}/{ref.name}",
                address=address.service,
            )
            return []
    return [*_service(world.get(SERVICE), address), *_slice(world.get(SLICE), address)]


def _service(held: Json | None, address: ApiAddress) -> list[Action]:
    if held is not None and virtual_addresses(held) != [address.service]:
        return [Delete(SERVICE)]  # an address never changes: its deletion brings us here again
    wanted = {
        "type": "ClusterIP",
        "clusterIP": address.service,
        "clusterIPs": [address.service],
        "ports": [{"name": "https", "port": PORT, "protocol": "TCP", "targetPort": address.port}],
    }
    if held is None:
        metadata = {"name": NAME, "namespace": NAMESPACE, "labels": _LABELS}
        return [
            Create(SERVICE, {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": wanted})
        ]
    kept = {key: value for key, value in held["spec"].items() if key != "selector"}
    spec = {**kept, **wanted}
    return [] if spec == held["spec"] else [Update(SERVICE, {**held, "spec": spec})]


def _slice(held: Json | None, address: ApiAddress) -> list[Action]:
    wanted = {
        "addressType": "IPv4",
        "endpoints": [{"addresses": [one], "conditions": {"ready": True}} for one in address.endpoints],
        "ports": [{"name": "https", "port": address.port, "protocol": "TCP"}],
    }
    if held is None:
        metadata = {"name": NAME, "namespace": NAMESPACE, "labels": {SERVICE_LABEL: NAME}}
        head = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata}
        return [Create(SLICE, {**head, **wanted})]
    labels = held["metadata"].get("labels") or {}
    if {key: held.get(key) for key in wanted} == wanted and labels.get(SERVICE_LABEL) == NAME:
        return []
    metadata = {**held["metadata"], "labels": {**labels, SERVICE_LABEL: NAME}}
    return [Update(SLICE, {**held, **wanted, "metadata": metadata})]
