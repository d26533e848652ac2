"""The names of a cluster, as the agent writes them and the DNS server reads them.

A zone is plain data in one JSON file, replaced atomically, so that the DNS server needs nothing
but that file and goes on answering when the agent is down. What a pod is called follows from its
address, so of the many pods of a cluster only the addresses are told. The rules are those of the
"Kubernetes DNS-Based Service Discovery" specification 1.1.0.
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
    """All names, lower case, without the final dot; those of pods as a table of their addresses alone."""

    domain: str
    networks: list[str] = []  # CIDRs whose reverse names are ours to answer or to deny
    names: dict[str, Records] = {}  # of services
    pods: dict[str, str] = {}  # `namespace/name` by address, as `ipaddress` writes it


Made = dict[str, Records]


class Builder:
    """Makes zones, of which each repeats most of the one before: a service that is the same object, and whose
    pods have the same names, is not looked at again. Pure apart from that memory."""

    def __init__(self) -> None:
        self._domain = ""
        self._made: dict[str, tuple[ServiceProgram, list[str], Made]] = {}

    def build(
        self,
        services: Mapping[str, ServiceProgram],
        peers: Mapping[str, Peer],
        domain: str = "cluster.local",
        networks: Iterable[str] = (),
    ) -> Zone:
        """The zone of a cluster: its services, and the pods at the addresses of `peers`."""
        zone = Zone(domain=domain.lower().rstrip("."), networks=list(networks))
        made = self._made if zone.domain == self._domain else {}
        self._domain, self._made = zone.domain, {}
        for service in services.values():
            hosts = [peers[one].endpoint if one in peers else "" for one in service.endpoint_addresses]
            known = made.get(service.id)
            if known is None or known[0] is not service or known[1] != hosts:
                known = (service, hosts, _records_of(service, hosts, zone.domain))
            self._made[service.id] = known
            for name, records in known[2].items():
                there = zone.names.get(name)
                zone.names[name] = records if there is None else _joined(there, records)
        for address, peer in peers.items():
            namespace, _, name = peer.endpoint.partition("/")
            if namespace != "host" and name:
                zone.pods[_canonical(address) if ":" in address else address] = peer.endpoint
        return zone


def _records_of(service: ServiceProgram, hosts: list[str], domain: str) -> Made:
    """What a service adds; `hosts` are `namespace/name` of the pods at its endpoints' addresses."""
    made: Made = {}
    namespace, _, name = service.id.partition("/")
    full = f"{name}.{namespace}.svc.{domain}"
    if service.addresses:
        _add_service(made, full, service)
    else:
        _add_headless(made, full, service, hosts)
    return made


def _joined(one: Records, other: Records) -> Records:
    return Records([*one.addresses, *other.addresses], [*one.srv, *other.srv], [*one.ptr, *other.ptr])


def _add_service(made: Made, full: str, service: ServiceProgram) -> None:
    records = _records(made, full)
    for address in service.addresses:
        records.addresses.append(address)
        _records(made, reverse_name(address)).ptr.append(full)
    for port in service.ports:
        _add_srv(made, full, port, [Srv(port.port, full)])


def _add_headless(made: Made, full: str, service: ServiceProgram, hosts: list[str]) -> None:
    records = _records(made, full)
    targets = {}
    own = dict(service.hostnames)
    for address, pod in zip(service.endpoint_addresses, hosts, strict=True):
        records.addresses.append(address)
        host = own.get(address) or pod.partition("/")[2] or dashed(address)
        target = f"{host}.{full}"
        if address not in _records(made, target).addresses:
            _records(made, target).addresses.append(address)
        targets[address] = target
        _records(made, reverse_name(address)).ptr.append(target)
    for port in service.ports:
        found = [Srv(b.port, targets[b.address]) for b in port.backends if b.address in targets]
        _add_srv(made, full, port, found)


def _add_srv(made: Made, full: str, port: ServicePort, records: list[Srv]) -> None:
    protocol = PROTOCOLS.get(port.protocol)
    if port.name and protocol:
        _records(made, f"_{port.name}.{protocol}.{full}").srv.extend(records)


def _records(made: Made, name: str) -> Records:
    return made.setdefault(name.lower(), Records())


def _canonical(address: str) -> str:
    return str(ipaddress.ip_address(address))


def dashed(address: str) -> str:
    """The address as one label: "10-0-0-7", "fd00-0-0-0-0-0-0-7" (never beginning or ending with '-')."""
    parsed = ipaddress.ip_address(address)
    if parsed.version == 4:
        return str(parsed).replace(".", "-")
    return "-".join(f"{int(group, 16):x}" for group in parsed.exploded.split(":"))


def undashed(label: str) -> str:
    """The address that `dashed` writes so; "" for what it does not write."""
    try:
        address = _canonical(label.replace("-", ":" if label.count("-") == 7 else "."))
    except ValueError:
        return ""
    return address if dashed(address) == label else ""


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
