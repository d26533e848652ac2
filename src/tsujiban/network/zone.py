"""The names of a cluster, as the agent writes them and the DNS server reads them.

A zone is plain data in one JSON file, replaced atomically, so that the DNS server needs nothing
but that file and goes on answering when the agent is down. `build` is pure; its rules are those
of the "Kubernetes DNS-Based Service Discovery" specification 1.1.0.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from tsujiban.policy.program import Peer, ServicePort, ServiceProgram

PROTOCOLS = {6: "_tcp", 17: "_udp", 132: "_sctp"}


class Srv(msgspec.Struct, frozen=True):
    """One SRV record (RFC 2782); weights are equal, priorities too."""

    port: int
    target: str


class Records(msgspec.Struct, omit_defaults=True):
    """What a name has. Addresses of either family; `ptr` are names."""

    addresses: list[str] = []
    srv: list[Srv] = []
    ptr: list[str] = []


class Zone(msgspec.Struct, kw_only=True, omit_defaults=True):
    """All names, lower case, without the final dot."""

    domain: str
    networks: list[str] = []  # CIDRs whose reverse names are ours to answer or to deny
    names: dict[str, Records] = {}


def build(
    services: Mapping[str, ServiceProgram],
    peers: Mapping[str, Peer],
    domain: str = "cluster.local",
    networks: Iterable[str] = (),
) -> Zone:
    """The zone of a cluster: its services, and the pods at the addresses of `peers`."""
    zone = Zone(domain=domain.lower().rstrip("."), networks=list(networks))
    pods = {address: peer.endpoint for address, peer in peers.items()}
    for service in services.values():
        namespace, _, name = service.id.partition("/")
        full = f"{name}.{namespace}.svc.{zone.domain}"
        if service.addresses:
            _add_service(zone, full, service)
        else:
            _add_headless(zone, full, service, pods)
    for address, endpoint in pods.items():
        namespace, _, name = endpoint.partition("/")
        if namespace == "host" or not name:
            continue
        pod = f"{dashed(address)}.{namespace}.pod.{zone.domain}"
        _records(zone, pod).addresses.append(address)
        reverse = _records(zone, reverse_name(address))
        if not reverse.ptr:
            reverse.ptr.append(pod)
    return zone


def _add_service(zone: Zone, full: str, service: ServiceProgram) -> None:
    records = _records(zone, full)
    for address in service.addresses:
        records.addresses.append(address)
        _records(zone, reverse_name(address)).ptr.append(full)
    for port in service.ports:
        _add_srv(zone, full, port, [Srv(port.port, full)])


def _add_headless(zone: Zone, full: str, service: ServiceProgram, pods: Mapping[str, str]) -> None:
    records = _records(zone, full)
    targets = {}
    for address in service.endpoint_addresses:
        records.addresses.append(address)
        host = pods.get(address, "").partition("/")[2] or dashed(address)
        target = f"{host}.{full}"
        if address not in _records(zone, target).addresses:
            _records(zone, target).addresses.append(address)
        targets[address] = target
        _records(zone, reverse_name(address)).ptr.append(target)
    for port in service.ports:
        found = [Srv(b.port, targets[b.address]) for b in port.backends if b.address in targets]
        _add_srv(zone, full, port, found)


def _add_srv(zone: Zone, full: str, port: ServicePort, records: list[Srv]) -> None:
    protocol = PROTOCOLS.get(port.protocol)
    if port.name and protocol:
        _records(zone, f"_{port.name}.{protocol}.{full}").srv.extend(records)


def _records(zone: Zone, name: str) -> Records:
    return zone.names.setdefault(name.lower(), Records())


def dashed(address: str) -> str:
    """The address as one label: "10-0-0-7", "fd00-0-0-0-0-0-0-7" (never beginning or ending with '-')."""
    parsed = ipaddress.ip_address(address)
    if parsed.version == 4:
        return str(parsed).replace(".", "-")
    return "-".join(f"{int(group, 16):x}" for group in parsed.exploded.split(":"))


def reverse_name(address: str) -> str:
    """The name of an address in in-addr.arpa or ip6.arpa."""
    return ipaddress.ip_address(address).reverse_pointer


def write(path: Path, zone: Zone) -> bool:
    """Put the zone in place atomically; False when the file says the same already. Raises OSError.

    The directory is made, readable for the DNS server's unprivileged user, who reaches it through
    a descriptor and not through the private directories above it.
    """
    content = msgspec.json.encode(zone, order="deterministic")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o755)
    if path.exists() and path.read_bytes() == content:
        return False
    temporary = path.with_name(path.name + ".new")
    temporary.write_bytes(content)
    temporary.chmod(0o644)
    os.replace(temporary, path)
    return True


def parse(content: bytes) -> Zone:
    """The inverse of `write`. Raises msgspec.ValidationError or msgspec.DecodeError."""
    return msgspec.json.decode(content, type=Zone)
