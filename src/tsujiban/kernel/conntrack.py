"""Ends exactly the connections that a change has made illegal.

The policy table accepts established connections before it asks any policy. So after a change
the connections of the node's pods are asked about again, and the conntrack entry of each that
would now be denied is taken away: its next packet finds no entry, and is not one that may open
a connection. Entries of allowed connections, and of others than our pods, are not touched.
Nobody is told by that: who is to hear of the end must be told before (`end_denied`).
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from tsujiban.kernel.netlink import (
    ACK,
    CONNTRACK,
    DUMP,
    Conversation,
    InterruptedDumpError,
    attribute,
    attributes,
    request,
)

_GET, _DELETE, _STATISTICS = 1, 2, 5  # IPCTNL_MSG_CT_*
_ENTRIES, _MOST_ENTRIES = 1, 2  # CTA_STATS_GLOBAL_*
_ORIGINAL, _REPLY, _ID, _ZONE = 1, 2, 12, 18  # CTA_*
_IP, _PROTOCOL = 1, 2  # CTA_TUPLE_*
_NESTED = 0x8000
_ATTEMPTS = 5


@dataclass(frozen=True)
class Connection:
    """One tracked connection, as policy saw its first packet: the destination after translation."""

    protocol: int
    source: str
    destination: str
    source_port: int = 0
    destination_port: int = 0
    icmp_type: int | None = None
    icmp_code: int | None = None
    # where its first packet was sent to, before translation: a service's address, say
    asked: tuple[str, int] = field(default=("", 0), compare=False)
    handle: tuple[int, bytes] = field(default=(0, b""), repr=False, compare=False)


@dataclass(frozen=True)
class Ended:
    """A connection that was ended, and the id of the rule that denies it now."""

    connection: Connection
    rule: str


def parse(family: int, payload: bytes) -> Connection | None:
    """The connection that a conntrack message is about; None when it lacks what identifies it."""
    found = attributes(payload)
    if _ORIGINAL not in found or _REPLY not in found:
        return None
    original, reply = _tuple(found[_ORIGINAL]), _tuple(found[_REPLY])
    if original is None or reply is None:
        return None
    handle = attribute(_ORIGINAL | _NESTED, found[_ORIGINAL])
    handle += b"".join(attribute(kind, found[kind]) for kind in (_ID, _ZONE) if kind in found)
    return Connection(
        protocol=original.protocol,
        source=original.source,
        destination=reply.source,
        source_port=original.source_port,
        destination_port=reply.source_port,
        icmp_type=original.icmp_type,
        icmp_code=original.icmp_code,
        asked=(original.destination, original.destination_port),
        handle=(family, handle),
    )


def _tuple(data: bytes) -> Connection | None:
    """One direction's tuple. CTA_IP_*: v4 1 and 2, v6 3 and 4; CTA_PROTO_*: see the kernel's header."""
    parts = attributes(data)
    if _IP not in parts or _PROTOCOL not in parts:
        return None
    ip, protocol = attributes(parts[_IP]), attributes(parts[_PROTOCOL])
    source, destination = ip.get(1) or ip.get(3), ip.get(2) or ip.get(4)
    if source is None or destination is None or 1 not in protocol:
        return None
    kind, code = protocol.get(5) or protocol.get(8), protocol.get(6) or protocol.get(9)
    return Connection(
        protocol=protocol[1][0],
        source=str(ipaddress.ip_address(source)),
        destination=str(ipaddress.ip_address(destination)),
        source_port=_port(protocol.get(2)),
        destination_port=_port(protocol.get(3)),
        icmp_type=kind[0] if kind else None,
        icmp_code=code[0] if code else None,
    )


def source(payload: bytes) -> bytes:
    """The address, packed, that has opened the connection that a message is about; b"" when it does not say.
    A part of what `parse` costs."""
    original = attributes(payload).get(_ORIGINAL, b"")
    ip = attributes(attributes(original).get(_IP, b""))
    return ip.get(1) or ip.get(3) or b""


def _port(value: bytes | None) -> int:
    return int(struct.unpack("!H", value)[0]) if value else 0


class Conntrack:
    """The connection table of the network namespace this is made in. Blocking, not thread-safe."""

    def __init__(self) -> None:
        self._conversation = Conversation()

    def close(self) -> None:
        """Close the socket."""
        self._conversation.close()

    def connections(self) -> list[Connection]:
        """Every tracked connection, IPv4 and IPv6. Raises OSError."""
        for attempt in range(_ATTEMPTS):
            try:
                return [*self._dump(socket.AF_INET), *self._dump(socket.AF_INET6)]
            except InterruptedDumpError:
                if attempt + 1 == _ATTEMPTS:
                    raise
                self._conversation.close()
                self._conversation = Conversation()
        raise AssertionError

    def fullness(self) -> tuple[int, int]:
        """How many connections there are, and how many there may be. Raises OSError."""
        (answer,) = self._conversation.ask(request(CONNTRACK, _STATISTICS, ACK))
        found = attributes(answer.payload)
        used, most = (int.from_bytes(found[kind], "big") for kind in (_ENTRIES, _MOST_ENTRIES))
        return used, most

    def by_source(self) -> Counter[str]:
        """How many connections each address has opened. Raises OSError."""
        counted: Counter[bytes] = Counter()
        for family in (socket.AF_INET, socket.AF_INET6):
            for message in self._conversation.ask(request(CONNTRACK, _GET, DUMP, family=family)):
                counted[source(message.payload)] += 1
        del counted[b""]
        return Counter({str(ipaddress.ip_address(one)): count for one, count in counted.items()})

    def _dump(self, family: int) -> Iterator[Connection]:
        for message in self._conversation.ask(request(CONNTRACK, _GET, DUMP, family=family)):
            connection = parse(message.family, message.payload)
            if connection is not None:
                yield connection

    def end(self, connection: Connection) -> bool:
        """Take the entry of `connection` away. False when it has ended by itself. Raises OSError."""
        family, handle = connection.handle
        try:
            self._conversation.ask(request(CONNTRACK, _DELETE, ACK, handle, family=family))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True

    def end_denied(
        self,
        addresses: Collection[str] | None,
        denied: Callable[[Connection], str | None],
        before: Callable[[Sequence[Connection]], None] = lambda _: None,
    ) -> tuple[Ended, ...]:
        """End the connections from or to `addresses` (None: all) for which `denied` names a rule. `before` is
        given all of them, while what they send still passes. Raises OSError."""
        found = []
        for connection in self.connections():
            if addresses is None or connection.source in addresses or connection.destination in addresses:
                rule = denied(connection)
                if rule is not None:
                    found.append(Ended(connection, rule))
        if found:
            before([one.connection for one in found])
        return tuple(one for one in found if self.end(one.connection))
