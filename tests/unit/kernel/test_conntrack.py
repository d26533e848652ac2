import socket
import struct

from tsujiban.kernel.conntrack import Connection, parse, source
from tsujiban.kernel.netlink import attribute, nested


def ends(kind: int, source: str, destination: str, protocol: bytes) -> bytes:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    first = 3 if ":" in source else 1
    ip = nested(
        1,
        attribute(first, socket.inet_pton(family, source)),
        attribute(first + 1, socket.inet_pton(family, destination)),
    )
    return nested(kind, ip, nested(2, protocol))


def tcp(source: int, destination: int) -> bytes:
    return (
        attribute(1, b"\x06")
        + attribute(2, struct.pack("!H", source))
        + attribute(3, struct.pack("!H", destination))
    )


def test_the_destination_is_the_translated_one() -> None:
    original = ends(1, "10.244.0.2", "10.96.0.1", tcp(40000, 80))
    reply = ends(2, "10.244.0.3", "10.244.0.2", tcp(8080, 40000))
    found = parse(socket.AF_INET, original + reply + attribute(12, b"\0\0\0\x09"))
    assert found == Connection(6, "10.244.0.2", "10.244.0.3", 40000, 8080)
    assert found.asked == ("10.96.0.1", 80)
    assert found.handle == (socket.AF_INET, original + attribute(12, b"\0\0\0\x09"))


def test_icmp_has_type_and_code() -> None:
    echo = attribute(1, b"\x3a") + attribute(7, b"\0\x05") + attribute(8, b"\x80") + attribute(9, b"\0")
    data = ends(1, "fd00::1", "fd00::2", echo) + ends(2, "fd00::2", "fd00::1", echo)
    assert parse(socket.AF_INET6, data) == Connection(58, "fd00::1", "fd00::2", 0, 0, 128, 0)


def test_what_identifies_nothing_is_none() -> None:
    assert parse(socket.AF_INET, b"") is None
    assert parse(socket.AF_INET, nested(1) + nested(2)) is None


def test_the_source_alone_is_who_has_opened_it() -> None:
    for address, other in (("10.244.0.2", "10.96.0.1"), ("fd00::1", "fd00::2")):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        data = ends(1, address, other, tcp(1, 2)) + ends(2, other, address, tcp(2, 1))
        assert source(data) == socket.inet_pton(family, address)
    assert source(b"") == b""
