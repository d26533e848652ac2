"""Which interface of the node has which address, as the kernel says (route netlink)."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator

from tsujiban.kernel.netlink import attributes

_NEW_LINK, _GET_LINK, _NEW_ADDRESS, _GET_ADDRESS = 16, 18, 20, 22  # RTM_*
_REQUEST_DUMP = 0x301
_ERROR, _DONE = 2, 3
_ADDRESS, _LOCAL, _NAME = 1, 2, 3  # IFA_*, IFLA_IFNAME
_HEADER = struct.Struct("=IHHII")
_LINK_HEADER = struct.Struct("=BxHiII")
_ADDRESS_HEADER = struct.Struct("=BBBBI")
_RECEIVE = 1 << 17


class Interfaces:
    """The interfaces of the network namespace this is made in. Blocking, not thread-safe."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def addresses(self) -> dict[str, str]:
        """Names of interfaces by their addresses. Raises OSError."""
        names = {}
        for body in self._dump(_GET_LINK, _NEW_LINK, _LINK_HEADER.pack(0, 0, 0, 0, 0)):
            raw = attributes(body[_LINK_HEADER.size :]).get(_NAME, b"")
            names[_LINK_HEADER.unpack_from(body)[2]] = raw.rstrip(b"\0").decode(errors="replace")
        found = {}
        for body in self._dump(_GET_ADDRESS, _NEW_ADDRESS, _ADDRESS_HEADER.pack(0, 0, 0, 0, 0)):
            parts = attributes(body[_ADDRESS_HEADER.size :])
            address = parts.get(_LOCAL) or parts.get(_ADDRESS)
            name = names.get(_ADDRESS_HEADER.unpack_from(body)[4])
            if address and name:
                found[str(ipaddress.ip_address(address))] = name
        return found

    def _dump(self, ask: int, kind: int, body: bytes) -> Iterator[bytes]:
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), ask, _REQUEST_DUMP, 0, 0) + body)
        while True:
            data = self._socket.recv(_RECEIVE)
            offset = 0
            while offset + _HEADER.size <= len(data):
                length, found, _, _, _ = _HEADER.unpack_from(data, offset)
                part = data[offset + _HEADER.size : offset + length]
                offset += max(_HEADER.size, (length + 3) & ~3)
                if found == _DONE:
                    return
                if found == _ERROR:
                    raise OSError(-struct.unpack_from("=i", part)[0], "the kernel lists no interfaces")
                if found == kind:
                    yield part
