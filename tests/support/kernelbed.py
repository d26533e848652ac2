"""A node with pods and a neighbour, all real: namespaces, links, routes; packets by sockets.

    pod ──veth── node ──veth (eth0)── outside

The pods' links are the product's own (network.links). Names are random, so that beds can stand
beside each other; `close` removes everything.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import secrets
import select
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tests.support.wait import PATIENCE

from tsujiban.network import links, namespaces
from tsujiban.policy.program import EndpointProgram, Mesh, Tier
from tsujiban.resources import names
from tsujiban.supervise.netns import call_in, namespace_path

T = TypeVar("T")

NODE4, NODE6 = "172.31.250.1", "fd31::1"
OUTSIDE4, OUTSIDE6 = "172.31.250.2", "fd31::2"
TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58


@dataclass(frozen=True)
class Pod:
    """One pod and where it is."""

    name: str
    uid: str
    namespace: str
    addresses: tuple[str, str]

    @property
    def interface(self) -> str:
        return names.link_name(self.uid)

    def address(self, version: int) -> str:
        return self.addresses[0 if version == 4 else 1]

    def program(
        self,
        *,
        ingress: tuple[Tier, ...] = (),
        egress: tuple[Tier, ...] = (),
        mesh: Mesh = Mesh.NONE,
        profiles: tuple[str, ...] = (),
    ) -> EndpointProgram:
        """What an agent would be told of it."""
        return EndpointProgram(
            id=f"default/{self.name}",
            node="node-1",
            interface=self.interface,
            mac=names.pod_mac(self.uid),
            addresses=self.addresses,
            mesh=mesh,
            ingress=ingress,
            egress=egress,
            profiles=profiles,
        )


class Bed:
    """The namespaces. Everything is made by the constructor; call `close` whatever happens."""

    def __init__(self, pods: tuple[str, ...]) -> None:
        self._prefix = f"tk-{secrets.token_hex(4)}-"
        self.node = self._prefix + "node"
        self.outside = self._prefix + "out"
        self.pods: dict[str, Pod] = {}
        try:
            self._build(pods)
        except BaseException:
            self.close()
            raise

    def _build(self, pods: tuple[str, ...]) -> None:
        for who in ("node", "outside"):
            namespaces.create(self.namespace(who))
            # a link-local address that is still being tried for duplicates (a second) asks for no neighbour
            self.inside(who, lambda: namespaces.write_sysctl("ipv6/conf/default/accept_dad", "0"))
        ip(f"-n {self.node} link add eth0 type veth peer name eth0 netns {self.outside}")
        for namespace, addresses in ((self.node, (NODE4, NODE6)), (self.outside, (OUTSIDE4, OUTSIDE6))):
            ip(f"-n {namespace} addr add {addresses[0]}/24 dev eth0")
            ip(f"-n {namespace} addr add {addresses[1]}/64 dev eth0 nodad")
            ip(f"-n {namespace} link set eth0 up")
            ip(f"-n {namespace} link set lo up")
        ip(f"-n {self.outside} route add 10.244.0.0/16 via {NODE4}")
        ip(f"-n {self.outside} route add fd44::/16 via {NODE6}")
        # processes of the node reach service addresses only where some route covers them
        ip(f"-n {self.node} route add default via {OUTSIDE4}")
        ip(f"-n {self.node} route add default via {OUTSIDE6}")
        self.in_node(lambda: namespaces.write_sysctl("ipv6/conf/all/forwarding", "1"))
        self.in_node(lambda: namespaces.write_sysctl("ipv4/ip_forward", "1"))
        for address in (NODE4, NODE6):
            assert self.tcp("outside", address, 9) == "refused"
        for index, name in enumerate(pods, start=2):
            self.add(name, (f"10.244.0.{index}", f"fd44::{index}"))

    def add(self, name: str, addresses: tuple[str, str], uid: str = "") -> Pod:
        """A pod more."""
        pod = Pod(name, uid or f"{self._prefix}{name}", f"{self._prefix}p-{name}", addresses)
        namespaces.create(pod.namespace)
        link = links.PodLink(uid=pod.uid, namespace=pod.namespace, addresses=addresses)
        self.in_node(lambda: links.add(link))
        self.pods[name] = pod
        return pod

    def close(self) -> None:
        for namespace in namespaces.names(self._prefix):
            with contextlib.suppress(namespaces.NamespaceError):
                namespaces.delete(namespace)

    def namespace(self, who: str) -> str:
        """Of "node", "outside" or a pod."""
        if who in ("node", "outside"):
            return self.node if who == "node" else self.outside
        return self.pods[who].namespace

    def inside(self, who: str, work: Callable[[], T]) -> T:
        return call_in(namespace_path(self.namespace(who)), work)

    def in_node(self, work: Callable[[], T]) -> T:
        return self.inside("node", work)

    def address(self, who: str, version: int) -> str:
        if who == "outside":
            return OUTSIDE4 if version == 4 else OUTSIDE6
        if who == "node":
            return NODE4 if version == 4 else NODE6
        return self.pods[who].address(version)

    # ---------------------------------------------------------------- packets

    def make(self, who: str, version: int, kind: int, protocol: int = 0) -> socket.socket:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        made = self.inside(who, lambda: socket.socket(family, kind, protocol))
        made.settimeout(PATIENCE)
        return made

    def listen(self, who: str, port: int) -> socket.socket:
        """A TCP listener on all addresses of both families."""
        return self.inside(
            who, lambda: socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        )

    def tcp(self, who: str, address: str, port: int, *, wait: float = PATIENCE) -> str:
        """What a connection meets: "open", "refused" or, after `wait` seconds, "silence"."""
        with self.make(who, _version(address), socket.SOCK_STREAM) as tried:
            tried.settimeout(wait)
            return _answer(lambda: tried.connect((address, port)), "open")

    def udp(self, who: str, address: str, port: int, *, wait: float = PATIENCE) -> str:
        """What a datagram meets: "open" (an answer), "refused" (nobody listens) or "silence".

        A refusal in the sender's own namespace shows as EPERM.
        """
        with self.make(who, _version(address), socket.SOCK_DGRAM) as tried:
            tried.settimeout(wait)
            tried.connect((address, port))
            return _answer(lambda: (tried.send(b"?"), tried.recv(100)), "open")

    def ping(self, who: str, address: str, *, wait: float = PATIENCE) -> str:
        """What an echo request meets: "open" or "silence"."""
        version = _version(address)
        protocol, kind = (socket.IPPROTO_ICMP, 8) if version == 4 else (socket.IPPROTO_ICMPV6, 128)
        with self.make(who, version, socket.SOCK_DGRAM, protocol) as tried:
            tried.settimeout(wait)
            tried.connect((address, 0))
            tried.send(struct.pack("!BBHHH", kind, 0, 0, 0, 1) + b"tsujiban")
            return _answer(lambda: tried.recv(100), "open")


def _version(address: str) -> int:
    return 6 if ":" in address else 4


def _answer(attempt: Callable[[], object], success: str) -> str:
    try:
        attempt()
    except (TimeoutError, ConnectionRefusedError) as error:
        return "silence" if isinstance(error, TimeoutError) else "refused"
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return success


def echo(listener: socket.socket) -> tuple[socket.socket, tuple[str, int]]:
    """The next connection of a listener."""
    listener.settimeout(PATIENCE)
    return listener.accept()


def readable(made: socket.socket, seconds: float = PATIENCE) -> bool:
    """Whether something arrives in time."""
    return bool(select.select([made], [], [], seconds)[0])


def until(test: Callable[[], T], seconds: float = PATIENCE) -> T:
    """What `test` returns once that is true. Fails after a deadline."""
    deadline = time.monotonic() + seconds
    while True:
        found = test()
        if found:
            return found
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


def ip(arguments: str) -> None:
    """One `ip` command."""
    subprocess.run(["ip", *arguments.split()], check=True, capture_output=True)


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


def sctp_init(source_port: int, port: int) -> bytes:
    """The packet that opens an SCTP association (RFC 9260), its checksum right."""
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 1, 1500, 1, 1, 1)
    header = struct.pack("!HHI", source_port, port, 0)
    return header + struct.pack("<I", _crc32c(header + bytes(4) + chunk)) + chunk


def udplite(source: str, to: str, source_port: int, port: int) -> bytes:
    """A UDP-Lite datagram (RFC 3828), its checksum over all of it."""
    payload = b"udp-lite"
    ends = ipaddress.ip_address(source).packed + ipaddress.ip_address(to).packed
    pseudo = ends + struct.pack("!II", 8 + len(payload), 136)
    header = struct.pack("!HHH", source_port, port, 0)
    return header + struct.pack("!H", checksum(pseudo + header + bytes(2) + payload)) + payload


def _crc32c(data: bytes) -> int:
    total = 0xFFFFFFFF
    for byte in data:
        total ^= byte
        for _ in range(8):
            total = (total >> 1) ^ (0x82F63B78 if total & 1 else 0)
    return total ^ 0xFFFFFFFF
