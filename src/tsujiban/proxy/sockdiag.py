"""TCP connections in another network namespace: end one and no other, or see what moves on them.

Envoy has no way to close a connection by what it carries; the kernel closes a socket by its
addresses (SOCK_DESTROY of linux/sock_diag.h), and Envoy does the rest as for any reset.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
import struct
import subprocess
from collections.abc import Collection, Iterator
from typing import NamedTuple

from tsujiban.supervise.netns import call_in

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_SOCK_DESTROY = 21
_REQUEST_AND_ACK = 0x1 | 0x4
_REQUEST_AND_DUMP = 0x1 | 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_OPEN = 1 << 1 | 1 << 8  # states: established, and those that the other end has closed
_SOCKET = struct.Struct("=BBBB")  # of inet_diag_msg: what comes before the ends
_USER, _USER_AT = struct.Struct("=I"), 64  # of inet_diag_msg: behind the ends, a timer and two queues
_ANY_STATE = 0xFFFFFFFF
_NO_COOKIE = b"\xff" * 8
_HEADER = struct.Struct("=IHHII")
_GONE = {errno.ENOENT, errno.ESRCH, errno.ESTALE}


End = tuple[str, int]


class Socket(NamedTuple):
    """One that the kernel tells of. The cookie is no other socket's, ever."""

    near: End
    far: End
    cookie: bytes


def request(local: End, remote: End, cookie: bytes = _NO_COOKIE) -> bytes:
    """The netlink message that destroys a TCP socket. Without its cookie the kernel takes, when there is none
    with these ends, one that listens there. Raises ValueError for bad addresses."""
    near, far = ipaddress.ip_address(local[0]), ipaddress.ip_address(remote[0])
    if near.version != far.version:
        raise ValueError(f"{near} and {far} are of different IP versions")
    family = socket.AF_INET if near.version == 4 else socket.AF_INET6
    body = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, _ANY_STATE)
    body += struct.pack("!HH", local[1], remote[1])
    body += near.packed.ljust(16, b"\0") + far.packed.ljust(16, b"\0")
    body += struct.pack("=I", 0) + cookie
    length = _HEADER.size + len(body)
    return _HEADER.pack(length, _SOCK_DESTROY, _REQUEST_AND_ACK, 1, 0) + body


def destroy(namespace: str, local: tuple[str, int], remote: tuple[str, int]) -> bool:
    """Destroy the TCP socket with these ends in the network namespace at `namespace`; whether
    there was one. Raises OSError, ValueError. Blocks."""
    message = request(local, remote)

    def work() -> bool:
        with _diag() as diag:
            return _destroy(diag, message)

    return call_in(namespace, work)


def _diag() -> socket.socket:
    diag = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
    diag.settimeout(5)
    return diag


def _destroy(diag: socket.socket, message: bytes) -> bool:
    diag.send(message)
    code: int = -struct.unpack_from("=i", diag.recv(4096), _HEADER.size)[0]
    if code and code not in _GONE:
        raise OSError(code, f"cannot end a connection: {os.strerror(code)}")
    return code == 0


def destroy_from(namespace: str, addresses: Collection[str], port: int) -> list[tuple[End, End]]:
    """Destroy the open TCP connections to local `port` from any of these addresses, in the network namespace
    at `namespace`; both ends of each, this one first. Raises OSError. Blocks."""

    def work() -> list[tuple[End, End]]:
        with _diag() as diag:
            there = [one for family in (socket.AF_INET, socket.AF_INET6) for one in _dump(diag, family)]
            found = [one for one in there if one.near[1] == port and one.far[0] in addresses]
            return [(one.near, one.far) for one in found if _destroy(diag, request(*one))]

    return call_in(namespace, work)


def destroy_open(namespace: str, wanted: Collection[tuple[End, End]]) -> int:
    """Destroy the open TCP connections with these ends (the near one first), in the network namespace at
    `namespace`; how many there were. IPv4 in sockets of IPv6 is IPv4. Raises OSError. Blocks."""

    def work() -> int:
        with _diag() as diag:
            there = [one for family in (socket.AF_INET, socket.AF_INET6) for one in _dump(diag, family)]
            found = [one for one in there if (_plain(one.near), _plain(one.far)) in wanted]
            return sum(_destroy(diag, request(*one)) for one in found)

    return call_in(namespace, work)


def count_of(namespace: str, uid: int) -> int:
    """How many open TCP connections in the network namespace at `namespace` are a user's. Raises OSError.
    Blocks."""

    def work() -> int:
        with _diag() as diag:
            return sum(
                uid == _USER.unpack_from(message, _USER_AT)[0]
                for family in (socket.AF_INET, socket.AF_INET6)
                for message in _dumped(diag, family)
            )

    return call_in(namespace, work)


def _plain(end: End) -> End:
    address = ipaddress.ip_address(end[0])
    mapped = address.ipv4_mapped if address.version == 6 else None
    return end if mapped is None else (str(mapped), end[1])


def _dump(diag: socket.socket, family: int) -> Iterator[Socket]:
    return map(parse_socket, _dumped(diag, family))


def _dumped(diag: socket.socket, family: int) -> Iterator[bytes]:
    body = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, _OPEN) + bytes(48)
    length = _HEADER.size + len(body)
    diag.send(_HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _REQUEST_AND_DUMP, 1, 0) + body)
    while True:
        data = diag.recv(1 << 16)
        while data:
            length, kind, *_ = _HEADER.unpack_from(data)
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR:
                code = -struct.unpack_from("=i", data, _HEADER.size)[0]
                raise OSError(code, f"cannot list connections: {os.strerror(code)}")
            yield data[_HEADER.size : length]
            data = data[(length + 3) & ~3 :]


def parse_socket(message: bytes) -> Socket:
    """The socket that an inet_diag_msg of the kernel's tells of."""
    family, *_ = _SOCKET.unpack_from(message)
    ports = struct.unpack_from("!HH", message, _SOCKET.size)
    size = 4 if family == socket.AF_INET else 16
    begin = _SOCKET.size + 4
    near, far = (ipaddress.ip_address(message[at : at + size]) for at in (begin, begin + 16))
    cookie = begin + 32 + 4  # the interface is before it
    return Socket((str(near), ports[0]), (str(far), ports[1]), message[cookie : cookie + 8])


class Traffic(NamedTuple):
    """The TCP connections that leave a namespace or came in, at one moment."""

    moved: frozenset[tuple[str, ...]]  # ends and the bytes that have passed, of each
    queued: bool  # whether bytes wait in any of them: to be sent and acknowledged, or to be read


_COUNTERS = re.compile(r"(?:bytes_acked|bytes_received):\d+")
_NOT_OPEN = ("exclude", "time-wait", "exclude", "syn-sent")
_OUTSIDE = "not dst 127.0.0.0/8 and not dst [::1]"


def traffic(namespace: str) -> Traffic:
    """What passes in the network namespace at `namespace`. Raises OSError. Blocks."""
    return parse_traffic(_ss(namespace, "-OHtin", "state", "connected", *_NOT_OPEN, _OUTSIDE))


def parse_traffic(listing: str) -> Traffic:
    """The same, from what `ss -OHtin state connected` writes: a line each."""
    moved, queued = set(), False
    for line in listing.splitlines():
        state, receive, send, near, far = line.split()[:5]
        moved.add((near, far, state, *_COUNTERS.findall(line)))
        queued = queued or receive != "0" or send != "0"
    return Traffic(frozenset(moved), queued)


def destroy_all(namespace: str) -> None:
    """Destroy every TCP connection in the network namespace at `namespace` that goes out of it or came in.

    Raises OSError, also when the kernel cannot destroy sockets. Blocks."""
    _ss(namespace, "--kill", "--tcp", "state", "connected", _OUTSIDE)


def _ss(namespace: str, *arguments: str) -> str:
    command = ["nsenter", f"--net={namespace}", "--", "ss", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(
            errno.EIO, f"ss {arguments[0]} fails on the connections of a pod: {done.stderr.strip()}"
        )
    return done.stdout
