"""Variables that tell a container where the services of its namespace are. Pure.

Source: Kubernetes documentation, "Environment variables" of Services, with the forms of Docker's links.
"""

from __future__ import annotations

from collections.abc import Iterable

from tsujiban.policy.program import ServicePort, ServiceProgram
from tsujiban.resources import protocols

_PROTOCOLS = {protocols.TCP: "tcp", protocols.UDP: "udp", protocols.SCTP: "sctp"}
API = "kubernetes"


def of_namespace(services: Iterable[ServiceProgram], namespace: str) -> dict[str, str]:
    """Of all services of a namespace that have an address of their own."""
    found: dict[str, str] = {}
    for service in sorted(services, key=lambda one: one.id):
        there, _, name = service.id.partition("/")
        if there == namespace and service.addresses and service.ports:
            found |= _of(name, service.addresses[0], service.ports)
    return found


def of_api(address: str) -> dict[str, str]:
    """What says where the API is: clients in a pod look for the first two. Nothing without an address."""
    return (
        _of(API, address, (ServicePort(protocol=protocols.TCP, port=443, name="https"),)) if address else {}
    )


def _of(service: str, address: str, ports: Iterable[ServicePort]) -> dict[str, str]:
    name = _shout(service)
    found = {f"{name}_SERVICE_HOST": address}
    for port in ports:
        number, protocol = str(port.port), _PROTOCOLS.get(port.protocol, "tcp")
        url = f"{protocol}://{f'[{address}]' if ':' in address else address}:{number}"
        found.setdefault(f"{name}_SERVICE_PORT", number)
        if port.name:
            found[f"{name}_SERVICE_PORT_{_shout(port.name)}"] = number
        found.setdefault(f"{name}_PORT", url)
        prefix = f"{name}_PORT_{number}_{protocol.upper()}"
        found |= {
            prefix: url,
            f"{prefix}_PROTO": protocol,
            f"{prefix}_PORT": number,
            f"{prefix}_ADDR": address,
        }
    return found


def _shout(name: str) -> str:
    return name.replace("-", "_").upper()
