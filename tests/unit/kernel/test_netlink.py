import struct

import pytest

from tsujiban.kernel import netlink
from tsujiban.kernel.netlink import (
    InterruptedDumpError,
    Message,
    attribute,
    attributes,
    messages,
    nested,
    request,
)


def answer(kind: int, body: bytes, flags: int = 0) -> bytes:
    data = struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body
    return data + b"\0" * (-len(data) % 4)


def test_attributes_are_read_as_they_are_written() -> None:
    data = attribute(1, b"abc") + nested(2, attribute(7, b"\x01")) + attribute(3, b"")
    found = attributes(data)
    assert found == {1: b"abc", 2: attribute(7, b"\x01"), 3: b""}
    assert attributes(found[2]) == {7: b"\x01"}
    assert len(data) % 4 == 0


@pytest.mark.parametrize("data", [b"\x03\x00\x01\x00", b"\xff\x00\x01\x00abc"])
def test_malformed_attributes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="longer than its message"):
        attributes(data)


def test_a_request() -> None:
    made = request(netlink.CONNTRACK, 1, netlink.DUMP, b"xx", family=2, resource=5)
    assert struct.unpack("=IHHII", made[:16]) == (len(made), 0x101, 0x301, 0, 0)
    assert made[16:] == b"\x02\x00\x00\x05xx"


def test_messages_and_the_end() -> None:
    body = b"\x02\x00\x00\x07" + attribute(1, b"x")
    data = answer(0x100, body, 2) + answer(3, struct.pack("=i", 0))
    assert [*messages(data)] == [Message(0, 1, 2, 7, attribute(1, b"x")), 0]
    assert [*messages(answer(2, struct.pack("=i", -2) + bytes(16)))] == [2]


def test_an_interrupted_dump_is_told() -> None:
    with pytest.raises(InterruptedDumpError):
        [*messages(answer(0x100, b"\x02\x00\x00\x00", 0x10))]


def test_a_truncated_datagram_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than its datagram"):
        [*messages(answer(0x100, b"\x02\x00\x00\x00")[:-1])]
