"""Packets that no socket would send: Ethernet frames made by hand, and what arrives of them.

An attacker in a pod is root in its own network namespace at worst: it writes any frame it likes.
Sources: RFC 791, 8200 (IP), 9293 (TCP), 792 and 4443 (ICMP).
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import time
from collections.abc import Iterator

from tests.support.kernelbed import Bed, checksum
from tests.support.wait import PATIENCE

from tsujiban.resources import names

GATEWAY = "ee:ee:ee:ee:ee:ee"
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
MARK = b"tsujiban-attack!"  # 16 bytes that nothing else sends


def ether(source: str, to: str, packet: bytes) -> bytes:
    """A frame with an IP packet."""
    kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
    return bytes.fromhex((to + source).replace(":", "")) + struct.pack("!H", kind) + packet


def ip(
    source: str,
    to: str,
    protocol: int,
    payload: bytes,
    *,
    fragment: int = 0,
    more: bool = False,
    number: int = 7,
    options: bytes = b"",
) -> bytes:
    """An IP packet of the version of its addresses; `fragment` is an offset in units of 8 bytes, `options`
    are IPv4's (in words of 4 bytes)."""
    ends = ipaddress.ip_address(source).packed + ipaddress.ip_address(to).packed
    if len(ends) == 8:
        flags = (0x2000 if more else 0) | fragment
        first, length = 0x45 + len(options) // 4, 20 + len(options) + len(payload)
        start = struct.pack("!BBHHHBB", first, 0, length, number, flags, 64, protocol)
        total = checksum(start + bytes(2) + ends + options)
        return start + struct.pack("!H", total) + ends + options + payload
    if fragment or more:
        payload = struct.pack("!BBHI", protocol, 0, fragment << 3 | more, number) + payload
        protocol = 44
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + ends + payload


def _summed(source: str, to: str, protocol: int, data: bytes, at: int) -> bytes:
    ends = ipaddress.ip_address(source).packed + ipaddress.ip_address(to).packed
    pseudo = ends + struct.pack("!II", len(data), protocol)
    total = checksum(pseudo + data + b"\0" * (len(data) % 2))
    return data[:at] + struct.pack("!H", total) + data[at + 2 :]


def tcp(
    source: str, to: str, ports: tuple[int, int], flags: int, payload: bytes = MARK, sequence: int = 1000
) -> bytes:
    """A TCP segment."""
    header = struct.pack("!HHIIBBHHH", *ports, sequence, 1 if flags & ACK else 0, 0x50, flags, 1000, 0, 0)
    return _summed(source, to, 6, header + payload, 16)


def udp(source: str, to: str, ports: tuple[int, int], payload: bytes = MARK) -> bytes:
    """A UDP datagram."""
    return _summed(source, to, 17, struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload, 6)


def icmp6(source: str, to: str, data: bytes) -> bytes:
    """An ICMPv6 message, its checksum made right."""
    return ip(source, to, 58, _summed(source, to, 58, data, 2))


def unreachable(source: str, to: str, quoted: bytes) -> bytes:
    """An ICMP or ICMPv6 error (port unreachable) about the packet `quoted`."""
    if ":" not in source:
        data = struct.pack("!BBHI", 3, 3, 0, 0) + quoted + MARK
        return data[:2] + struct.pack("!H", checksum(data + b"\0" * (len(data) % 2))) + data[4:]
    return _summed(source, to, 58, struct.pack("!BBHI", 1, 4, 0, 0) + quoted + MARK, 2)


class Wire:
    """Sends frames from one pod and sees what reaches others. Use as a context manager."""

    def __init__(self, bed: Bed, attacker: str, *victims: str) -> None:
        self._bed = bed
        self._mac = names.pod_mac(bed.pods[attacker].uid)
        self._out = self._open(attacker, 0)
        self._ears = [self._open(victim, 0x0003) for victim in victims]

    def _open(self, who: str, kind: int) -> socket.socket:
        def work() -> socket.socket:
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
            made.bind(("eth0", kind))
            made.setblocking(False)
            return made

        return self._bed.inside(who, work)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._out, *self._ears):
            one.close()

    def send(self, *packets: bytes, mac: str = "", to: str = GATEWAY) -> None:
        """Write frames, from the attacker's own MAC unless another is given."""
        for packet in packets:
            self._out.send(ether(mac or self._mac, to, packet))

    def announce(self, body: bytes) -> None:
        """Send an ARP message to everybody."""
        ends = bytes.fromhex("ff" * 6 + self._mac.replace(":", ""))
        self._out.send(ends + struct.pack("!H", 0x0806) + body)

    def arrived(self, seconds: float = 0.15, mark: bytes = MARK, *, least: int = 0) -> list[bytes]:
        """IP packets with `mark` that have reached a victim until nothing came for `seconds`; `least` so many
        are waited for as long as it takes."""
        found: list[bytes] = []
        begun = heard = time.monotonic()
        while True:
            now = (
                time.monotonic()
            )  # before a look: what has come while this process stood still has come in time
            new = [packet for ear in self._ears for packet in _heard(ear, mark)]
            found += new
            if new:
                heard = now
            elif now - heard > seconds and (len(found) >= least or now - begun > PATIENCE):
                return found
            time.sleep(0.005)


def _heard(ear: socket.socket, mark: bytes) -> Iterator[bytes]:
    """All that waits to be read."""
    with contextlib.suppress(BlockingIOError):
        while True:
            frame, where = ear.recvfrom(65535)
            if mark in frame and where[2] != socket.PACKET_OUTGOING:
                yield frame[14:]
