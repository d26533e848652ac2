from __future__ import annotations

import struct

import pytest

from tsujiban.proxy.sockdiag import parse_socket, parse_traffic, request


def test_the_message_is_that_of_linux_inet_diag() -> None:
    message = request(("10.0.0.1", 15006), ("10.0.0.2", 40000))
    length, kind, flags, _, _ = struct.unpack_from("=IHHII", message)
    assert (length, kind, flags) == (len(message), 21, 5)
    family, protocol = message[16], message[17]
    assert (family, protocol) == (2, 6)
    assert struct.unpack_from("!HH", message, 24) == (15006, 40000)
    assert message[28:32] == bytes([10, 0, 0, 1])
    assert message[44:48] == bytes([10, 0, 0, 2])
    assert message[-8:] == b"\xff" * 8
    assert request(("::1", 1), ("::2", 2))[16] == 10


def test_mixed_versions_are_refused() -> None:
    with pytest.raises(ValueError, match="different IP versions"):
        request(("10.0.0.1", 1), ("::1", 1))


def test_the_ends_of_a_socket_are_those_of_linux_inet_diag_msg() -> None:
    ends = struct.pack("!HH", 15006, 40000)
    near, far = bytes([10, 0, 0, 1]).ljust(16, b"\0"), bytes([10, 0, 0, 2]).ljust(16, b"\0")
    message = bytes([2, 1, 0, 0]) + ends + near + far + bytes(4) + b"a cookie" + bytes(20)
    found = parse_socket(message)
    assert found == (("10.0.0.1", 15006), ("10.0.0.2", 40000), b"a cookie")
    assert request(*found)[-8:] == b"a cookie"
    six = bytes([10, 1, 0, 0]) + ends + b"\0" * 15 + b"\1" + b"\0" * 15 + b"\2" + bytes(32)
    assert parse_socket(six)[:2] == (("::1", 15006), ("::2", 40000))


LISTING = """\
ESTAB      0      0      10.244.0.1:15006 10.244.0.2:40000 cubic bytes_sent:9 bytes_acked:10 bytes_received:5
CLOSE-WAIT 1      0      10.244.0.1:15006 10.244.0.3:40000 cubic
"""


def test_traffic_is_the_bytes_that_have_passed_and_whether_any_wait() -> None:
    found = parse_traffic(LISTING)
    assert found.queued
    assert found.moved == {
        ("10.244.0.1:15006", "10.244.0.2:40000", "ESTAB", "bytes_acked:10", "bytes_received:5"),
        ("10.244.0.1:15006", "10.244.0.3:40000", "CLOSE-WAIT"),
    }
    one, _ = LISTING.splitlines()
    assert not parse_traffic(one).queued
    assert parse_traffic(one.replace("     0      10.", "     4      10.")).queued
    assert parse_traffic("") == (frozenset(), False)
