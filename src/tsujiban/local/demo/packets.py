"""Captured frames to byte streams: Ethernet, IPv4, TCP, reassembled by sequence number. Pure.

Small on purpose: the demonstration must show what was on the wire without trusting anything of
Tsujiban's, and without asking for a packet analyser.
Sources: RFC 791 (IPv4), RFC 9293 (TCP).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

ETHERNET = 14
ETHERTYPE_IPV4 = 0x0800
TCP = 6
FIN, SYN = 0x01, 0x02
MODULUS = 1 << 32


class Segment(NamedTuple):
    """One TCP segment. Addresses are dotted."""

    source: str
    source_port: int
    destination: str
    destination_port: int
    sequence: int
    flags: int
    payload: bytes


class Way(NamedTuple):
    """One direction of a connection."""

    source: str
    source_port: int
    destination: str
    destination_port: int

    @property
    def back(self) -> Way:
        """The other direction."""
        return Way(self.destination, self.destination_port, self.source, self.source_port)


def segment(frame: bytes) -> Segment | None:
    """The TCP segment in an Ethernet frame; None when there is none. Trailing padding is dropped."""
    if len(frame) < ETHERNET + 20 or int.from_bytes(frame[12:14]) != ETHERTYPE_IPV4:
        return None
    packet = memoryview(frame)[ETHERNET:]
    header = (packet[0] & 0x0F) * 4
    total = int.from_bytes(packet[2:4])
    fragment = int.from_bytes(packet[6:8]) & 0x1FFF
    if packet[0] >> 4 != 4 or packet[9] != TCP or fragment or len(packet) < header + 20:
        return None
    if total:  # 0: larger than 64 KiB by segmentation offload
        packet = packet[:total]
    ports = struct.unpack_from("!HHI", packet, header)
    offset = header + (packet[header + 12] >> 4) * 4
    if offset > len(packet):
        return None
    source, destination = (".".join(map(str, packet[i : i + 4])) for i in (12, 16))
    return Segment(
        source, ports[0], destination, ports[1], ports[2], packet[header + 13], bytes(packet[offset:])
    )


class Stream:
    """One direction of one connection, put in order from its SYN on."""

    def __init__(self, way: Way, first: int) -> None:
        self.way = way
        self._first = first  # sequence number of the first byte
        self._parts: dict[int, bytes] = {}

    def add(self, part: Segment) -> None:
        """Take in a segment; a retransmission may be longer than what came before."""
        offset = (part.sequence - self._first) % MODULUS
        if part.payload and offset < MODULUS // 2 and len(self._parts.get(offset, b"")) < len(part.payload):
            self._parts[offset] = part.payload

    def data(self) -> bytes:
        """The bytes from the first on, up to the first hole."""
        whole = bytearray()
        for offset in sorted(self._parts):
            if offset > len(whole):
                break
            whole += self._parts[offset][len(whole) - offset :]
        return bytes(whole)


class Streams:
    """Every direction of every connection that was captured."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.headless: dict[Way, int] = {}  # payload bytes of connections whose start was not captured
        self._open: dict[Way, Stream] = {}

    def add(self, part: Segment) -> None:
        """Take in a segment; a new SYN on the same ports begins a new stream."""
        way = Way(*part[:4])
        stream = self._open.get(way)
        if part.flags & SYN:
            first = (part.sequence + 1) % MODULUS
            if stream is None or stream._first != first:
                stream = self._open[way] = Stream(way, first)
                self.streams.append(stream)
            part = part._replace(sequence=first)
        if stream is not None:
            stream.add(part)
        elif part.payload:
            self.headless[way] = self.headless.get(way, 0) + len(part.payload)
