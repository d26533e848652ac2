"""Services and their EndpointSlices as one program each, and the sets that policies make of them."""

from __future__ import annotations

from collections.abc import Iterable

from tsujiban.policy.addresses import canonical
from tsujiban.policy.program import Backend, Member, ServiceMember, ServicePort, ServiceProgram
from tsujiban.resources import protocols
from tsujiban.resources.kinds.core import Endpoint, EndpointSlice, Service

SERVICE_NAME = "kubernetes.io/service-name"
ADDRESS_TYPES = ("IPv4", "IPv6")


def service_of(found: EndpointSlice) -> str:
    """namespace/name of the service that a slice belongs to; "" for none."""
    name = found.metadata.labels.get(SERVICE_NAME, "")
    return f"{found.metadata.namespace or 'default'}/{name}" if name else ""


def compile_service(service: Service, slices: Iterable[EndpointSlice]) -> ServiceProgram:
    """Virtual addresses, and the ready endpoints behind each port. Ports of a slice belong to
    the service's port of the same name."""
    spec = service.spec
    given = spec.cluster_ips or ((spec.cluster_ip,) if spec.cluster_ip else ())
    backends: dict[tuple[str, int], set[Backend]] = {}
    addresses: set[str] = set()
    hostnames: dict[str, str] = {}
    for found in slices:
        if found.address_type and found.address_type not in ADDRESS_TYPES:
            continue
        ready = {canonical(a) for e in found.endpoints if _ready(e, service) for a in e.addresses}
        addresses |= ready
        hostnames |= {
            canonical(a): e.hostname
            for e in found.endpoints
            if _is_renamed(e)
            for a in e.addresses
            if e.hostname
        }
        for port in found.ports:
            if port.port is not None:
                key = (port.name or "", _number(port.protocol))
                backends.setdefault(key, set()).update(Backend(address=a, port=port.port) for a in ready)
    ports = tuple(
        ServicePort(
            protocol=_number(port.protocol),
            port=port.port,
            name=port.name,
            backends=tuple(
                sorted(
                    backends.get((port.name, _number(port.protocol)), ()), key=lambda b: (b.address, b.port)
                )
            ),
        )
        for port in spec.ports
    )
    return ServiceProgram(
        id=f"{service.metadata.namespace or 'default'}/{service.metadata.name}",
        addresses=tuple(canonical(a) for a in (*given, *spec.external_ips) if a and a != "None"),
        ports=ports,
        endpoint_addresses=tuple(sorted(addresses)),
        hostnames=tuple(sorted((a, name) for a, name in hostnames.items() if a in addresses)),
    )


def _is_renamed(endpoint: Endpoint) -> bool:
    """Whether it has a name of its own, which is not simply its pod's."""
    pod = endpoint.target_ref.name if endpoint.target_ref is not None else ""
    return bool(endpoint.hostname) and endpoint.hostname != pod


def _ready(endpoint: Endpoint, service: Service) -> bool:
    conditions = endpoint.conditions
    if service.spec.publish_not_ready_addresses or conditions is None:
        return True
    return conditions.ready is not False


def service_members(slices: Iterable[EndpointSlice]) -> frozenset[ServiceMember]:
    """(address, protocol, port) of every endpoint, ready or not: policy is about who, not about
    health (Calico's reference, "Services")."""
    return frozenset(
        ServiceMember(address=canonical(address), protocol=_number(port.protocol), port=port.port)
        for found in slices
        for endpoint in found.endpoints
        for address in endpoint.addresses
        if found.address_type in ("", *ADDRESS_TYPES)
        for port in found.ports
        if port.port is not None
    )


def service_addresses(slices: Iterable[EndpointSlice]) -> frozenset[str]:
    """The addresses of every endpoint, ready or not."""
    return frozenset(
        canonical(address)
        for found in slices
        for endpoint in found.endpoints
        for address in endpoint.addresses
        if found.address_type in ("", *ADDRESS_TYPES)
    )


def _number(protocol: str | None) -> int:
    return protocols.number(protocol or "TCP") or protocols.TCP


def as_members(addresses: Iterable[str]) -> frozenset[Member]:
    """Plain members: the addresses' owners are told apart by other sets."""
    return frozenset(Member(net=address) for address in addresses)
