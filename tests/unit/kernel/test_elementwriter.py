import struct

import pytest

from tsujiban.kernel.elementwriter import Change, answers, batch, encoded
from tsujiban.kernel.netlink import attributes
from tsujiban.kernel.table import Set


@pytest.mark.parametrize(
    ("types", "text", "found"),
    [
        ("ipv4_addr", "10.0.0.1", "0a000001"),
        ("ipv6_addr", "fd00::1", "fd" + "00" * 14 + "01"),
        ("inet_service", "443", "01bb"),
        ("inet_proto", "6", "06"),
        ("ipv4_addr . inet_proto . inet_service", "10.0.0.1 . 6 . 443", "0a000001" + "06000000" + "01bb0000"),
        ("ifname . ether_addr", "tsja . 02:00:00:00:00:01", "74736a61" + "00" * 12 + "020000000001" + "0000"),
    ],
)
def test_keys_are_as_the_kernel_holds_them(types: str, text: str, found: str) -> None:
    assert encoded(types, text).hex() == found


def test_a_type_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="mark"):
        encoded("mark", "1")


def payloads(message: bytes) -> list[tuple[int, dict[int, bytes]]]:
    found = []
    while message:
        length, kind = struct.unpack_from("=IH", message)
        found.append((kind & 0xFF, attributes(message[20:length])))
        message = message[(length + 3) & ~3 :]
    return found


def test_what_goes_goes_first_and_all_is_one_batch() -> None:
    nets = Set("nets", "ipv4_addr", interval=True)
    programs = Set("programs", "ifname", data="verdict")
    changes = [
        Change(nets, {"10.0.0.0-10.0.0.255": ""}, {"255.255.255.255": ""}),
        Change(programs, {}, {"tsja": "jump endpoint-1"}),
    ]
    message, last = batch("t", changes)
    found = payloads(message)
    assert [kind for kind, _ in found] == [16, 14, 12, 12, 17]
    assert last == 3
    names = [parts[2].rstrip(b"\0") for _, parts in found[1:-1]]
    assert names == [b"nets", b"nets", b"programs"]
    assert found[1][1][3].count(bytes.fromhex("0a000100")) == 1  # the end of the range is what comes after it
    assert found[2][1][3].count(b"\0\0\0\1") == 0  # and what ends with the last address has no end
    assert b"endpoint-1\0" in found[3][1][3]


def test_many_elements_are_several_messages() -> None:
    elements = {f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}": "" for n in range(5000)}
    message, last = batch("t", [Change(Set("s", "ipv4_addr"), {}, elements)])
    assert last > 1
    assert len(payloads(message)) == last + 2


def test_answers_name_their_message() -> None:
    error = struct.pack("=IHHIIi", 36, 2, 0, 7, 0, -17) + bytes(16)
    assert list(answers(error + struct.pack("=IHHIIi", 36, 2, 0, 8, 0, 0) + bytes(16))) == [(7, 17), (8, 0)]
    with pytest.raises(ValueError, match="longer"):
        list(answers(error[:-1]))
