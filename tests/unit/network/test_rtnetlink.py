import errno
import struct

import pytest

from tsujiban.network import rtnetlink


def test_a_message_has_length_flags_and_padding() -> None:
    message = rtnetlink.Message(16, rtnetlink.NLM_F_CREATE, b"12345", "x")
    packed = message.pack(7)
    length, kind, flags, sequence, port = struct.unpack_from("=IHHII", packed)
    assert (length, kind, sequence, port) == (21, 16, 7, 0)
    assert flags == rtnetlink.NLM_F_REQUEST | rtnetlink.NLM_F_ACK | rtnetlink.NLM_F_CREATE
    assert len(packed) == 24


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while data:
        length, kind = struct.unpack_from("=HH", data)
        found[kind] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found


def test_a_route_through_an_on_link_gateway() -> None:
    body = rtnetlink.new_route("0.0.0.0/0", 3, "169.254.1.1").body
    assert body[1] == 0
    assert struct.unpack_from("=I", body, 8)[0] == rtnetlink.RTNH_F_ONLINK
    assert _attributes(body[12:]) == {
        rtnetlink.RTA_GATEWAY: bytes([169, 254, 1, 1]),
        rtnetlink.RTA_OIF: struct.pack("=I", 3),
    }


def test_a_direct_route_is_of_link_scope() -> None:
    body = rtnetlink.new_route("10.0.0.1/32", 3).body
    assert (body[1], body[6]) == (32, rtnetlink.SCOPE_LINK)
    assert _attributes(body[12:])[rtnetlink.RTA_DST] == bytes([10, 0, 0, 1])


def test_neighbours_are_permanent() -> None:
    body = rtnetlink.new_neighbour(4, "fe80::1", "ee:ee:ee:ee:ee:ee").body
    assert struct.unpack_from("=iH", body, 4) == (4, rtnetlink.NUD_PERMANENT)
    assert _attributes(body[12:])[rtnetlink.NDA_LLADDR] == b"\xee" * 6


def test_an_ipv6_address_waits_for_no_duplicate_detection() -> None:
    assert rtnetlink.new_address(1, "fd00::1/128").body[2] == rtnetlink.IFA_F_NODAD
    assert rtnetlink.new_address(1, "10.0.0.1/32").body[2] == 0


def test_acknowledgements_of_a_datagram() -> None:
    good = struct.pack("=IHHIIi", 20, rtnetlink.NLMSG_ERROR, 0, 1, 0, 0)
    bad = struct.pack("=IHHIIi", 20, rtnetlink.NLMSG_ERROR, 0, 2, 0, -errno.EEXIST)
    assert rtnetlink.acknowledgements(good + bad) == [(1, 0), (2, errno.EEXIST)]
    assert rtnetlink.acknowledgements(b"\0" * 20) == []
    assert rtnetlink.acknowledgements(b"abc") == []


def test_nothing_to_send() -> None:
    rtnetlink.send([])


def test_the_kernels_refusal_names_what_failed() -> None:
    with pytest.raises(OSError, match=r"cannot bring link 2147483646 up"):
        rtnetlink.send([rtnetlink.set_up(2**31 - 2)])
