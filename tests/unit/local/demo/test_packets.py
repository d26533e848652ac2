from __future__ import annotations

import socket
import struct

import pytest

from tsujiban.local.demo.packets import FIN, SYN, Segment, Streams, Way, segment


def frame(
    payload: bytes, *, sequence: int = 1, flags: int = 0, padding: bytes = b"", total: int | None = None
) -> bytes:
    tcp = struct.pack("!HHIIBBHHH", 40000, 80, sequence, 0, 6 << 4, flags, 0, 0, 0) + b"\1\1\1\1" + payload
    length = 20 + len(tcp) if total is None else total
    ip = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, length, 0, 0, 64, 6, 0, *map(socket.inet_aton, ("10.0.0.1", "10.0.0.2"))
    )
    return b"\0" * 12 + b"\x08\x00" + ip + tcp + padding


def part(sequence: int, payload: bytes, flags: int = 0) -> Segment:
    return Segment("10.0.0.1", 40000, "10.0.0.2", 80, sequence, flags, payload)


def test_a_segment_is_read_past_its_options_and_without_padding() -> None:
    found = segment(frame(b"hello", sequence=7, flags=FIN, padding=b"\0" * 6))
    assert found == Segment("10.0.0.1", 40000, "10.0.0.2", 80, 7, FIN, b"hello")


def test_a_total_length_of_zero_means_larger_than_ip_can_say() -> None:
    found = segment(frame(b"x" * 70_000, total=0))
    assert found is not None
    assert len(found.payload) == 70_000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        frame(b"")[:30],
        frame(b"")[:12] + b"\x86\xdd" + frame(b"")[14:],
        frame(b"")[:14] + b"\x65" + frame(b"")[15:],
        frame(b"")[:20] + b"\x00\x01" + frame(b"")[22:],
        frame(b"")[:23] + b"\x11" + frame(b"")[24:],
        frame(b"")[:46] + b"\xf0" + frame(b"")[47:],
    ],
    ids=["empty", "short", "ipv6", "version", "fragment", "udp", "offset"],
)
def test_what_is_no_tcp_over_ipv4_is_none(data: bytes) -> None:
    assert segment(data) is None


def stream(*parts: Segment) -> bytes:
    streams = Streams()
    for one in parts:
        streams.add(one)
    (found,) = streams.streams
    return found.data()


def test_order_and_repetition_do_not_matter() -> None:
    assert (
        stream(
            part(99, b"", SYN), part(103, b"def"), part(100, b"abc"), part(100, b"abc"), part(101, b"bcdefgh")
        )
        == b"abcdefgh"
    )


def test_sequence_numbers_wrap_around() -> None:
    assert stream(part(2**32 - 2, b"", SYN), part(2**32 - 1, b"a"), part(0, b"b")) == b"ab"


def test_a_hole_ends_the_data() -> None:
    assert stream(part(0, b"", SYN), part(1, b"a"), part(5, b"z")) == b"a"


def test_data_in_the_syn_counts() -> None:
    assert stream(part(0, b"early", SYN), part(6, b"!")) == b"early!"


def test_bytes_before_the_first_are_not_data() -> None:
    assert stream(part(10, b"", SYN), part(10, b"keepalive"), part(11, b"a")) == b"a"


def test_a_new_connection_on_the_same_ports_is_another_stream() -> None:
    streams = Streams()
    for one in (part(0, b"", SYN), part(0, b"", SYN), part(1, b"a"), part(500, b"", SYN), part(501, b"b")):
        streams.add(one)
    assert [found.data() for found in streams.streams] == [b"a", b"b"]


def test_a_connection_whose_start_was_missed_is_told_apart() -> None:
    streams = Streams()
    streams.add(part(5, b"abc"))
    streams.add(part(8, b""))
    assert streams.headless == {Way("10.0.0.1", 40000, "10.0.0.2", 80): 3}
    assert streams.streams == []
