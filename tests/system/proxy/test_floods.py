"""Floods of HTTP/2 frames against the Envoy that pods share: by an application, whose requests the server's
side reads, and by somebody who holds a certificate and speaks the tunnels' HTTP/2 by hand.

Who floods is cut off after a bounded number of frames, and the Envoy goes on for all others. The limits are
Envoy's own defaults: these tests tell when a version of it, or an option of ours, has others.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import hpack
import pytest
from tests.support.meshapps import (
    READS,
    Greeter,
    Pinger,
    allow,
    echo_http,
    first,
    reads,
    rest,
    tls_socket,
)
from tests.support.proxybed import Bed, tier, until
from tests.system.proxy.conftest import make_bed

from tsujiban.policy.program import Mesh, Peer

pytestmark = pytest.mark.system

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """One frame (RFC 9113, 4.1)."""
    return struct.pack("!HBBBI", len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload


def request(connect: bool, *more: tuple[str, str]) -> bytes:
    """A header block: what is allowed there."""
    asked = [(":method", "CONNECT"), (":authority", "web:80")] if connect else []
    asked = asked or [(":method", "GET"), (":scheme", "http"), (":authority", "web"), (":path", "/v1/x")]
    return hpack.Encoder().encode([*asked, *more], huffman=False)


def streams() -> Iterator[int]:
    """Numbers of a client's streams."""
    return iter(range(1, 1 << 20, 2))


def resets(connect: bool) -> Iterator[bytes]:
    """CVE-2023-44487: each request is given up at once, so none counts as open."""
    for number in streams():
        yield frame(HEADERS, END_HEADERS, number, request(connect))
        yield frame(RST_STREAM, 0, number, struct.pack("!I", 8))


def continuations(connect: bool) -> Iterator[bytes]:
    """CVE-2024-30255: headers that never end."""
    yield frame(HEADERS, 0, 1, request(connect))
    while True:
        yield frame(CONTINUATION, 0, 1, b"\x00\x01x\x7f\x80\x01" + b"y" * 255)


def empty_continuations(connect: bool) -> Iterator[bytes]:
    """The same, with nothing in them that a limit of bytes would count."""
    yield frame(HEADERS, 0, 1, request(connect))
    while True:
        yield frame(CONTINUATION, 0, 1)


def settings(_: bool) -> Iterator[bytes]:
    """CVE-2019-9515: each is to be answered, and nobody reads the answers."""
    while True:
        yield frame(SETTINGS)


def pings(_: bool) -> Iterator[bytes]:
    """CVE-2019-9512."""
    while True:
        yield frame(PING, 0, 0, bytes(8))


def nothings(connect: bool) -> Iterator[bytes]:
    """CVE-2019-9518: a body without an end and without bytes."""
    yield frame(HEADERS, END_HEADERS, 1, request(connect))
    while True:
        yield frame(DATA, 0, 1)


def priorities(connect: bool) -> Iterator[bytes]:
    """CVE-2019-9513: who depends on whom is told anew all the time."""
    yield frame(HEADERS, END_HEADERS, 1, request(connect))
    while True:
        yield frame(PRIORITY, 0, 1, struct.pack("!IB", 3, 1))


def windows(connect: bool) -> Iterator[bytes]:
    """Room that nobody needs."""
    yield frame(HEADERS, END_HEADERS, 1, request(connect))
    while True:
        yield frame(WINDOW_UPDATE, 0, 1, struct.pack("!I", 1))


def stalls(connect: bool) -> Iterator[bytes]:
    """Streams on which nothing may be answered: no window."""
    yield frame(SETTINGS, 0, 0, struct.pack("!HI", 4, 0))
    for number in streams():
        yield frame(HEADERS, END_HEADERS, number, request(connect))


def literal(name: bytes, length: int, *, remembered: bool = False) -> bytes:
    """A header with a new name of one byte (RFC 7541, 6.2), and a value of 127 bytes or more."""
    rest, size = length - 127, b""
    while rest >= 128:
        size += bytes([rest & 127 | 128])
        rest >>= 7
    return (
        (b"\x40\x01" if remembered else b"\x00\x01") + name + b"\x7f" + size + bytes([rest]) + b"y" * length
    )


def bombs(connect: bool) -> Iterator[bytes]:
    """CVE-2016-6581: 4 kB that the decoder remembers, and then a byte for each time that they are meant."""
    numbers = streams()
    remembered = literal(b"x", 3900, remembered=True)
    yield frame(HEADERS, END_HEADERS, next(numbers), request(connect) + remembered)
    for number in numbers:
        yield frame(HEADERS, END_HEADERS, number, request(connect) + b"\xbe" * 16_000)


def long_headers(connect: bool) -> Iterator[bytes]:
    """Requests of 80 kB each."""
    for number in streams():
        yield frame(HEADERS, 0, number, request(connect))
        for last, name in enumerate((b"a", b"b", b"c", b"d", b"e"), start=-4):
            yield frame(CONTINUATION, 0 if last else END_HEADERS, number, literal(name, 16_000))


def many_headers(connect: bool) -> Iterator[bytes]:
    """Requests with 2 000 headers each, of 3 bytes."""
    for number in streams():
        yield frame(HEADERS, END_HEADERS, number, request(connect) + b"\x00\x01x\x01y" * 2_000)


Flood = Callable[[bool], Iterator[bytes]]
FLOODS: tuple[Flood, ...] = (
    *(resets, continuations, empty_continuations, settings, pings),
    *(nothings, priorities, windows, stalls),
    *(bombs, long_headers, many_headers),
)
MOST = 20_000  # frames: twice the largest of Envoy's limits, that of answers which nobody reads


@dataclass
class Place:
    """The web server, its customer, and one who has a certificate and no proxy."""

    bed: Bed

    def open(self, connect: bool) -> socket.socket:
        """A connection to the proxy's HTTP/2: of tunnels, or inside of one."""
        web = self.bed.pods["web"].address
        if not connect:
            return self.bed.pods["customer"].connect(web, 80)
        wire = self.bed.pods["wire"]
        return tls_socket(self.bed, wire, self.bed.issue(wire.identity), web, 80)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with make_bed(Mesh.NODE) as bed:
        made = Place(bed)
        bed.workers = 1
        bed.pod("web", ingress=(tier("default/web"),)).listen(80, echo_http)
        bed.pod("mail").listen(25, Greeter())
        customer, friend = bed.pod("customer"), bed.pod("friend")
        wire = bed.pod("wire", mesh=Mesh.NONE)
        bed.state.peers[wire.address] = Peer(
            address=wire.address, endpoint=wire.id, identity=wire.identity, mesh=Mesh.SIDECAR
        )
        assert bed.update(**allow(customer, friend, wire, http=READS)) == ()
        bed.settle()
        yield made


KINDS = pytest.mark.parametrize("connect", [False, True], ids=["requests", "tunnels"])


def _cut_off(place: Place, connect: bool, flood: Flood, most: int) -> bool:
    """Whether a flood has come to its end after so many frames at most. Raises AssertionError when its
    connection stays open, though."""
    frames = flood(connect)
    with place.open(connect) as connection, suppress(ConnectionError, ssl.SSLError):
        connection.sendall(PREFACE + frame(SETTINGS))
        for _ in range(0, most, 100):
            connection.sendall(b"".join(islice(frames, 100)))
        rest(connection)
    return True


@KINDS
def test_who_floods_is_cut_off_and_nobody_else_is(place: Place, connect: bool) -> None:
    friend, mail, web = (place.bed.pods[name] for name in ("friend", "mail", "web"))
    beside = friend.connect(mail.address, 25)
    assert first(beside) == b"220 welcome\r\n"
    pinger = Pinger(beside)
    with ThreadPoolExecutor(len(FLOODS)) as pool:
        ended = pool.map(lambda flood: _cut_off(place, connect, flood, MOST), FLOODS)
        assert all(ended)
    assert pinger.stop() == ""
    with friend.connect(mail.address, 25) as another:
        assert first(another) == b"220 welcome\r\n"
    # the flooded pod was perhaps full, and lets go of what is over
    until("web serves again", lambda: reads(friend, web.address, 80) == 200)
    assert place.bed.trouble() == ""


@KINDS
def test_a_few_of_such_frames_harm_nobody(place: Place, connect: bool) -> None:
    """What the test above relies on: it is the number that has a connection end."""
    for flood in (resets, settings, pings, priorities):
        with place.open(connect) as connection:
            asked = (*islice(flood(connect), 20), frame(PING, 0, 0, b"anybody?"))
            connection.sendall(PREFACE + frame(SETTINGS) + b"".join(asked))
            got = b""
            while b"anybody?" not in got:
                got += (part := connection.recv(65536))
                assert part, f"{flood.__name__} was cut off"
