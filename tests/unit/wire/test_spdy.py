from __future__ import annotations

import struct
import zlib

import pytest
from tests.support.spdyclient import SpdyClient, control, data

from tsujiban.wire import spdy
from tsujiban.wire.spdy import Data, GoneAway, Opened, Reset, SpdyError, SpdyServer


def test_the_dictionary_is_that_of_the_draft() -> None:
    assert len(spdy.DICTIONARY) == 1423
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2  # the DICTID that every implementation sends


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_streams_are_opened_replied_to_and_carry_bytes_in_whatever_pieces(step: int) -> None:
    client, server = SpdyClient(), SpdyServer()
    first, syn = client.open(streamtype="error", port="80")
    second, other = client.open(streamType="data", end=True)
    stream = syn + other + data(first, b"hello") + data(first, b"", end=True)
    events = [
        event for start in range(0, len(stream), step) for event in server.feed(stream[start : start + step])
    ]
    assert events == [
        Opened(first, {"streamtype": "error", "port": "80"}, False),
        Opened(second, {"streamtype": "data"}, True),
        Data(first, b"hello", False),
        Data(first, b"", True),
    ]
    server.send(first, b"x" * 100_000)
    server.finish(first)
    client.feed(server.take())
    assert client.replied == {first, second}
    assert client.received[first] == b"x" * 100_000
    assert client.ended == {first}
    assert server.open_streams() == {second}


def test_nothing_is_sent_on_a_stream_that_has_ended() -> None:
    client, server = SpdyClient(), SpdyServer()
    number, syn = client.open(streamtype="data")
    list(server.feed(syn))
    server.take()
    server.finish(number)
    server.take()
    server.send(number, b"late")
    server.finish(number)
    assert server.take() == b""


def test_pings_of_the_peer_are_answered_and_answers_to_ours_are_not() -> None:
    client, server = SpdyClient(), SpdyServer()
    assert list(server.feed(control(spdy.PING, struct.pack(">I", 7)))) == []
    assert list(server.feed(control(spdy.PING, struct.pack(">I", 8)))) == []
    client.feed(server.take())
    assert client.pongs == [7]


def test_resets_both_ways() -> None:
    client, server = SpdyClient(), SpdyServer()
    first, syn = client.open(streamtype="a")
    second, other = client.open(streamtype="b")
    list(server.feed(syn + other))
    assert list(server.feed(control(spdy.RST_STREAM, struct.pack(">II", first, 5)))) == [Reset(first)]
    assert list(server.feed(control(spdy.RST_STREAM, struct.pack(">II", first, 5)))) == []
    server.reset(second)
    assert list(server.feed(data(second, b"on its way"))) == []
    client.feed(server.take())
    assert client.reset == {second}
    assert server.open_streams() == frozenset()


def test_what_means_nothing_here_is_passed_over() -> None:
    client, server = SpdyClient(), SpdyServer()
    frames = control(spdy.SETTINGS, b"\0\0\0\0") + control(spdy.WINDOW_UPDATE, struct.pack(">II", 0, 9))
    assert list(server.feed(frames + control(77, b"?"))) == []
    assert list(server.feed(control(spdy.GOAWAY, struct.pack(">II", 0, 0)))) == [GoneAway()]
    _, syn = client.open(streamtype="still-understood")
    assert next(server.feed(syn)) == Opened(1, {"streamtype": "still-understood"}, False)


BOMB = zlib.compressobj(zdict=spdy.DICTIONARY)
BOMB_BLOCK = BOMB.compress(b"\0" * 10_000_000) + BOMB.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.parametrize(
    "frame",
    [
        struct.pack(">II", 1, 0xFFFFFF),
        struct.pack(">HHI", 0x8002, 1, 0),
        control(spdy.SYN_STREAM, b"short"),
        control(spdy.SYN_STREAM, struct.pack(">IIH", 2, 0, 0) + BOMB_BLOCK),
        control(spdy.SYN_STREAM, struct.pack(">IIH", 1, 0, 0) + BOMB_BLOCK),
        control(spdy.SYN_STREAM, struct.pack(">IIH", 1, 0, 0) + b"no zlib"),
        control(spdy.RST_STREAM, b""),
    ],
)
def test_a_broken_peer_is_told_off(frame: bytes) -> None:
    with pytest.raises(SpdyError):
        list(SpdyServer().feed(frame))


def test_streams_are_bounded_and_numbered_upwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spdy, "MAX_STREAMS", 2)
    client, server = SpdyClient(), SpdyServer()
    for _ in range(2):
        list(server.feed(client.open()[1]))
    with pytest.raises(SpdyError):
        list(server.feed(client.open()[1]))
    again, server = SpdyClient(), SpdyServer()
    syn = again.open()[1]
    list(server.feed(syn))
    with pytest.raises(SpdyError):
        list(server.feed(syn))


@pytest.mark.parametrize("text", [b"", b"\0\0\0\1", b"\0\0\0\1\0\0\0\5ab", b"\xff\xff\xff\xff"])
def test_broken_header_blocks(text: bytes) -> None:
    with pytest.raises(SpdyError):
        spdy.parse_headers(text)
