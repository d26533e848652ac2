import socket
import struct

import pytest

from tsujiban.kernel.packets import Packet, parse

V4 = ("10.0.0.1", "10.0.0.2")
V6 = ("fd00::1", "fd00::2")
PORTS = struct.pack("!HH", 40000, 80)


def v4(protocol: int, payload: bytes, *, fragment: int = 0, options: bytes = b"") -> bytes:
    start = 0x45 + len(options) // 4
    header = struct.pack("!BBHHHBBH", start, 0, 0, 0, fragment, 64, protocol, 0)
    return header + b"".join(map(socket.inet_aton, V4)) + options + payload


def v6(following: int, payload: bytes) -> bytes:
    header = struct.pack("!IHBB", 6 << 28, len(payload), following, 64)
    return header + b"".join(socket.inet_pton(socket.AF_INET6, address) for address in V6) + payload


def extension(following: int, units: int = 0) -> bytes:
    return struct.pack("!BB", following, units) + bytes(6 + 8 * units)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (v4(6, PORTS), Packet(*V4, 6, 40000, 80)),
        (v4(6, PORTS, options=bytes(8)), Packet(*V4, 6, 40000, 80)),
        (v4(1, b"\x08\x00"), Packet(*V4, 1, icmp_type=8, icmp_code=0)),
        (v4(47, PORTS), Packet(*V4, 47)),
        (v4(6, PORTS, fragment=0x2001), Packet(*V4, 6)),
        (v4(6, PORTS[:3]), Packet(*V4, 6)),
        (v6(17, PORTS), Packet(*V6, 17, 40000, 80)),
        (v6(58, b"\x80\x00"), Packet(*V6, 58, icmp_type=128, icmp_code=0)),
        (v6(0, extension(60, 1) + extension(6, 0)[:0] + extension(6, 1) + PORTS), Packet(*V6, 6, 40000, 80)),
        (v6(51, struct.pack("!BB", 6, 1) + bytes(10) + PORTS), Packet(*V6, 6, 40000, 80)),
        (v6(44, struct.pack("!BBHI", 6, 0, 0, 1) + PORTS), Packet(*V6, 6, 40000, 80)),
        (v6(44, struct.pack("!BBHI", 6, 0, 8, 1) + PORTS), Packet(*V6, 6)),
    ],
)
def test_packets(data: bytes, expected: Packet) -> None:
    assert parse(data) == expected


@pytest.mark.parametrize("data", [b"", b"\x45", b"\x60" + bytes(30), b"\x00" * 40])
def test_what_is_no_packet(data: bytes) -> None:
    assert parse(data) is None
