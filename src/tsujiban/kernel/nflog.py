"""Reads what the policy table logs: every decision with its rule id, as it is made.

The kernel hands log messages of one group to one socket in the namespace. They are few (new
connections and denials, limited per rule in the table), so Python keeps up; what it could not
keep up with is counted, never guessed.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tsujiban.kernel.netlink import (
    ACK,
    ULOG,
    Conversation,
    Message,
    attribute,
    attributes,
    messages,
    open_socket,
    request,
)
from tsujiban.kernel.packets import Packet, parse
from tsujiban.kernel.verdicts import Letter, Station
from tsujiban.policy.program import Action, Direction

_PACKET, _CONFIG = 0, 1  # NFULNL_MSG_*
_TIMESTAMP, _IN, _OUT, _PAYLOAD, _PREFIX = 3, 4, 5, 9, 10  # NFULA_*
_COMMAND, _MODE, _TIMEOUT, _THRESHOLD = 1, 2, 4, 5  # NFULA_CFG_*
_BIND, _COPY_PACKET = 1, 2
_SNAP = 128  # bytes of each packet
_FLUSH = 5  # hundredths of a second that a message may wait for others
_BATCH = 64
_BUFFER = 4 << 20
_RECEIVE = 1 << 18
_RECEIVE_BUFFER_FORCE = 33  # SO_RCVBUFFORCE: Python has no name for it

_ACTIONS = {
    Letter.ALLOW: (Action.ALLOW, False),
    Letter.DENY: (Action.DENY, False),
    Letter.LOG: (Action.LOG, False),
    Letter.STAGED_ALLOW: (Action.ALLOW, True),
    Letter.STAGED_DENY: (Action.DENY, True),
    Letter.STAGED_LOG: (Action.LOG, True),
}


@dataclass(frozen=True)
class KernelEvent:
    """One decision of the kernel post. Times are UNIX nanoseconds."""

    time_ns: int
    verdict: Action  # ALLOW, DENY or LOG
    staged: bool  # what a staged policy would have done; not enforced
    direction: Direction
    rule: str
    interface: str  # of the endpoint whose program decided; "" when it is gone already
    endpoint: str  # its id; "" when the interface is not known
    packet: Packet
    forwarded: bool = False  # a host endpoint judged what its node forwards


class Record(NamedTuple):
    """One log message, decoded but not yet looked up."""

    time_ns: int  # 0: the packet carried none
    prefix: str
    inside: int  # interface indices; 0 is none
    outside: int
    packet: Packet


def record(message: Message) -> Record | None:
    """What a netlink message says; None when it is no log message of an IP packet."""
    if message.subsystem != ULOG or message.type != _PACKET:
        return None
    found = attributes(message.payload)
    packet = parse(found.get(_PAYLOAD, b""))
    if packet is None or _PREFIX not in found:
        return None
    seconds, micros = struct.unpack("!QQ", found[_TIMESTAMP]) if _TIMESTAMP in found else (0, 0)
    return Record(
        time_ns=seconds * 1_000_000_000 + micros * 1_000,
        prefix=found[_PREFIX].rstrip(b"\0").decode(errors="replace"),
        inside=_index(found.get(_IN)),
        outside=_index(found.get(_OUT)),
        packet=packet,
    )


def _index(value: bytes | None) -> int:
    return int(struct.unpack("!I", value)[0]) if value else 0


class Owners(NamedTuple):
    """Whose program decides where."""

    interfaces: Mapping[str, str] = {}  # ids of pods' endpoints
    addresses: Mapping[str, str] = {}
    host: Callable[[str, str], str] = lambda address, interface: ""  # of a host endpoint


def event(
    entry: Record,
    interface_name: Callable[[int], str],
    owners: Owners,
    long_ids: Mapping[str, str],
) -> KernelEvent | None:
    """The decision that a record reports; None when its prefix is not one of ours."""
    letter, _, rest = entry.prefix.partition("|")
    where, _, rule = rest.partition("|")
    if letter not in _LETTERS or where not in _WAYS or not rule:
        return None
    verdict, staged = _ACTIONS[Letter(letter)]
    way, forwarded, entering = _WAYS[where]
    packet = entry.packet
    interface = interface_name(entry.inside if entering else entry.outside)
    if where in _PODS:
        # what the node itself sends may still name another interface: its address is the pod's
        by_address = owners.addresses.get(packet.destination, "") if way is Direction.INGRESS else ""
        endpoint = by_address or owners.interfaces.get(interface, "")
    else:
        endpoint = owners.host(packet.destination if entering else packet.source, interface)
    return KernelEvent(
        time_ns=entry.time_ns or time.time_ns(),
        verdict=verdict,
        staged=staged,
        direction=way,
        rule=long_ids.get(rule, rule),
        interface=interface,
        endpoint=endpoint,
        packet=packet,
        forwarded=forwarded,
    )


_LETTERS = frozenset(map(str, _ACTIONS))
_PODS = frozenset(map(str, Direction))
# direction, whether the packet is forwarded, whether its endpoint is at the interface it came in by
_WAYS: dict[str, tuple[Direction, bool, bool]] = {
    Direction.INGRESS: (Direction.INGRESS, False, False),
    Direction.EGRESS: (Direction.EGRESS, False, True),
    Station.HOST_INGRESS: (Direction.INGRESS, False, True),
    Station.HOST_EGRESS: (Direction.EGRESS, False, False),
    Station.FORWARD_INGRESS: (Direction.INGRESS, True, True),
    Station.FORWARD_EGRESS: (Direction.EGRESS, True, False),
}


class KernelLog:
    """The log messages of one group in the network namespace this is made in.

    `owners` and `long_ids` are asked for each message: give a view that follows the program.
    Raises OSError; EBUSY means that another process reads the group.
    """

    def __init__(
        self,
        group: int,
        owners: Callable[[], Owners],
        long_ids: Callable[[], Mapping[str, str]],
    ) -> None:
        self.lost = 0  # times that the kernel had to drop messages
        self._owners = owners
        self._long_ids = long_ids
        self._names: dict[int, str] = {}
        self._socket = open_socket()
        self._conversation = Conversation(self._socket)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCE, _BUFFER)
            for setting in (
                attribute(_COMMAND, struct.pack("!B", _BIND)),
                attribute(_MODE, struct.pack("!IBx", _SNAP, _COPY_PACKET)),
                attribute(_TIMEOUT, struct.pack("!I", _FLUSH)),
                attribute(_THRESHOLD, struct.pack("!I", _BATCH)),
            ):
                # messages of the group that has just been bound may come between: the first are missed
                self._conversation.ask(request(ULOG, _CONFIG, ACK, setting, resource=group))
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)

    def close(self) -> None:
        """Let go of the group. Messages that nobody reads are dropped by the kernel."""
        self._socket.close()

    async def events(self) -> AsyncIterator[KernelEvent]:
        """Decisions as they are made, for ever; one reader at a time."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._socket, ready.set)
        try:
            while True:
                await ready.wait()
                ready.clear()
                for found in self.read():
                    yield found
        finally:
            loop.remove_reader(self._socket)

    def read(self) -> list[KernelEvent]:
        """The decisions that have arrived; [] when none has. Never waits."""
        found: list[KernelEvent] = []
        while len(found) < _BATCH:
            try:
                data = self._socket.recv(_RECEIVE)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.lost += 1
                continue
            entries = (record(message) for message in messages(data) if isinstance(message, Message))
            events = (
                event(entry, self._name, self._owners(), self._long_ids()) for entry in entries if entry
            )
            found += filter(None, events)
        return found

    def _name(self, index: int) -> str:
        """An interface's name. Pods come and go: indices are never used again, names are kept."""
        if index and index not in self._names:
            try:
                self._names[index] = socket.if_indextoname(index)
            except OSError:
                return ""
        return self._names.get(index, "")
