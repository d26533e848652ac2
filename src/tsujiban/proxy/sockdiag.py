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
from typing import NamedTuple

from tsujiban.supervise.netns import call_in

_NETLINK_SOCK_DIAG = 4
_SOCK_DESTROY = 21
_REQUEST_AND_ACK = 0x1 | 0x4
_ANY_STATE = 0xFFFFFFFF
_NO_COOKIE = b"\xff" * 8
_HEADER = struct.Struct("=IHHII")
_GONE = {errno.ENOENT, errno.ESRCH}


def request(local: tuple[str, int], remote: tuple[str, int]) -> bytes:
    """The netlink message that destroys a TCP socket. Raises ValueError for bad addresses."""
    near, far = ipaddress.ip_address(local[0]), ipaddress.ip_address(remote[0])
    if near.version != far.version:
        raise ValueError(f"{near} and {far} are of different IP versions")
    family = socket.AF_INET if near.version == 4 else socket.AF_INET6
    body = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, _ANY_STATE)
    body += struct.pack("!HH", local[1], remote[1])
    body += near.packed.ljust(16, b"\0") + far.packed.ljust(16, b"\0")
    body += struct.pack("=I", 0) + _NO_COOKIE
    length = _HEADER.size + len(body)
    return _HEADER.pack(length, _SOCK_DESTROY, _REQUEST_AND_ACK, 1, 0) + body


def destroy(namespace: str, local: tuple[str, int], remote: tuple[str, int]) -> bool:
    """Destroy the TCP socket with these ends in the network namespace at `namespace`; whether
    there was one. Raises OSError, ValueError. Blocks."""
    message = request(local, remote)

    def work() -> bool:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as diag:
            diag.settimeout(5)
            diag.send(message)
            code: int = -struct.unpack_from("=i", diag.recv(4096), _HEADER.size)[0]
        if code and code not in _GONE:
            raise OSError(code, f"cannot end a connection: {os.strerror(code)}")
        return code == 0

    return call_in(namespace, work)


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
