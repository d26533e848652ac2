"""Attacks on the proxy post, each with its story: what a client may try, and what it must not get.

One cluster for all, with pods that have a sidecar and pods of the node's Envoy. `web` may be read by
`customer` below /v1 (network policy, so each request is judged), and by `wire`, which has no proxy but a
certificate and speaks the mesh's wire by itself; `api` has AuthorizationPolicies on hosts and headers; `mail`
speaks first, to nobody here. Whatever is sent, what the applications have heard must be within policy: they
are asked after every attack.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import pytest
from tests.support.meshapps import READS, Greeter, allow, drain, tls_socket, tunnel_status
from tests.support.proxybed import Bed, Pod, tier
from tests.support.wait import PATIENCE
from tests.system.proxy.conftest import make_bed

from tsujiban.policy.program import (
    AuthzAction,
    AuthzCondition,
    AuthzOperation,
    AuthzProgram,
    AuthzRule,
    Mesh,
    Peer,
    StringMatch,
)

pytestmark = pytest.mark.system

T = TypeVar("T")
R = TypeVar("R")
GUEST = "x-role"
HOST = "shop.example"


class Heard:
    """An application that answers every request with 200, in HTTP/1 or 2, and remembers their heads."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    def _http2(self, connection: socket.socket, data: bytes) -> None:
        state = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding=None, validate_inbound_headers=False)
        )
        state.initiate_connection()
        while data:
            for event in state.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    fields = {name: value for name, value in event.headers if name.startswith(b":")}
                    lines = [fields[b":method"] + b" " + fields.get(b":path", b"") + b" HTTP/2"]
                    lines += [b"Host: " + value for name, value in event.headers if name == b":authority"]
                    lines += [b"%s: %s" % one for one in event.headers if not one[0].startswith(b":")]
                    self.heads.append(b"\r\n".join(lines))
                    state.send_headers(event.stream_id, [(":status", "200")], end_stream=True)
            connection.sendall(state.data_to_send())
            data = connection.recv(65536)

    def __call__(self, connection: socket.socket) -> None:
        data = connection.recv(65536, socket.MSG_PEEK)
        if data.startswith(b"PRI * HTTP/2"):
            self._http2(connection, connection.recv(65536))
            return
        data = b""
        while part := connection.recv(65536):
            data += part
            while b"\r\n\r\n" in data:
                head, _, data = data.partition(b"\r\n\r\n")
                self.heads.append(head)
                data = _skip_body(head.lower(), data, connection)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def _skip_body(head: bytes, data: bytes, connection: socket.socket) -> bytes:
    """What follows the body, read as the strictest reader would."""
    fields = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
    framing = [name for name, _, _ in fields if name in {b"content-length", b"transfer-encoding"}]
    assert len(framing) <= 1, f"the application could frame this in two ways: {head!r}"
    if framing == [b"transfer-encoding"]:
        while b"0\r\n\r\n" not in data:
            data += connection.recv(65536)
        return data.partition(b"0\r\n\r\n")[2]
    length = next((int(value) for name, _, value in fields if name == b"content-length"), 0)
    while len(data) < length:
        data += connection.recv(65536)
    return data[length:]


@dataclass(frozen=True)
class Place:
    """The cluster under attack."""

    bed: Bed
    web: Heard
    api: Heard
    mail: Greeter

    def pod(self, name: str) -> Pod:
        """By name."""
        return self.bed.pods[name]

    def all_at_once(self, attacks: Mapping[str, T], attack: Callable[[T], R]) -> dict[str, R]:
        """Try every attack; the outcome by its story. They wait for one another's silence, not in turn."""
        with ThreadPoolExecutor(len(attacks)) as pool:
            return dict(zip(attacks, pool.map(attack, attacks.values()), strict=True))

    def both(self, attack: Callable[[str], R]) -> list[R]:
        """Try an attack on both web servers, side by side."""
        return list(self.all_at_once({one: one for one in ("web", "api")}, attack).values())

    def raw(self, target: str, sent: bytes, client: str = "customer", wait: float = PATIENCE) -> bytes:
        """Everything that comes back for these bytes."""
        with self.pod(client).connect(self.pod(target).address, 80) as connection:
            connection.sendall(sent)
            return drain(connection, wait)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with make_bed(Mesh.SIDECAR) as bed:
        found = Place(bed, Heard(), Heard(), Greeter())
        bed.pod("web", ingress=(tier("default/web"),)).listen(80, found.web)
        bed.pod("api", mesh=Mesh.NODE, authorization=("deny", "allow")).listen(80, found.api)
        bed.pod("mail", ingress=(tier("default/web"),)).listen(25, found.mail)
        customer = bed.pod("customer")
        bed.pod("stranger", mesh=Mesh.NODE)
        wire = bed.pod("wire", mesh=Mesh.NONE)
        known = Peer(address=wire.address, endpoint=wire.id, identity=wire.identity, mesh=Mesh.SIDECAR)
        bed.state.peers[wire.address] = known
        guest = AuthzCondition(key=f"request.headers[{GUEST}]", values=(StringMatch(exact="guest"),))
        gets = AuthzOperation(
            methods=(StringMatch(exact="GET"),),
            hosts=(StringMatch(exact=HOST),),
            paths=(StringMatch(prefix="/v1/"),),
        )
        refused = bed.update(
            authorizations={
                "deny": AuthzProgram(
                    id="deny", action=AuthzAction.DENY, rules=(AuthzRule(id="deny/0", conditions=(guest,)),)
                ),
                "allow": AuthzProgram(
                    id="allow", action=AuthzAction.ALLOW, rules=(AuthzRule(id="allow/0", operations=(gets,)),)
                ),
            },
            **allow(customer, wire, http=READS),
        )
        assert refused == ()
        bed.settle()
        yield found


@pytest.fixture(autouse=True)
def nothing_forbidden_was_heard(place: Place) -> Iterator[None]:
    """The applications are the judges: what came through must be what policy allows."""
    place.web.heads.clear()
    place.api.heads.clear()
    yield
    # behind all that was sent, on the same tunnels: nothing of it is heard in a later test
    for target in ("web", "api"):
        assert status(place.raw(target, get())) == 200
    for head in (*place.web.heads, *place.api.heads):
        assert head.startswith((b"GET /v1 ", b"GET /v1/", b"GET /v1?", b"GET /v1;")), head
    for head in place.api.heads:
        lines = head.lower().split(b"\r\n")
        assert [line for line in lines if line.startswith(b"host:")] == [b"host: shop.example"], head
        assert not any(b"guest" in line for line in lines if line.startswith(GUEST.encode())), head
    assert place.mail.visitors == 0


def get(path: str = "/v1/x", *headers: str, host: str | None = HOST, method: str = "GET") -> bytes:
    """One request over HTTP/1.1 that closes the connection."""
    lines = [f"{method} {path} HTTP/1.1", *([f"Host: {host}"] if host is not None else []), *headers]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")


def status(answer: bytes) -> int:
    """Status of the first answer; 0 for none."""
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0


def test_who_keeps_to_policy_gets_through(place: Place) -> None:
    """Without this, everything below could pass because nothing works."""
    assert status(place.raw("web", get())) == 200
    assert status(place.raw("api", get())) == 200
    assert len(place.web.heads) == len(place.api.heads) == 1


PATHS = {
    "a dot segment walks out": "/v1/../admin",
    "an escaped one": "/v1/%2e%2e/admin",
    "one of which half is escaped": "/v1/.%2e/admin",
    "an escape of an escape": "/v1/%252e%252e/admin",
    "an escaped slash hides the segment": "/v1/..%2fadmin",
    "an escaped escape of a slash": "/v1/..%252fadmin",
    "a backslash is a slash on some servers": "/v1\\..\\admin",
    "an escaped backslash": "/v1%5c..%5cadmin",
    "a parameter on a dot segment, which some servers cut off": "/v1/..;x/admin",
    "an escaped semicolon": "/v1/..%3bx/admin",
    "a NUL, at which C ends": "/v1%00/../../admin",
    "an overlong encoding of a slash": "/v1/..%c0%afadmin",
    "a full stop of another width": "/v1/%ef%bc%8e%ef%bc%8e%2fadmin",
    "another case": "/V1/x",
    "a longer first segment": "/v1x/y",
    "dots after slashes that vanish": "/v1//../../admin",
    "more slashes in front": "///admin",
    "a fragment, which no request has": "/admin#/v1/x",
    "the path in the query": "/admin?/v1/x",
    "no slash at all": "admin",
    "an absolute target with another path": "http://shop.example/admin",
    "an absolute target with dots": "http://shop.example/v1/../admin",
    "an absolute target of another scheme": "https://shop.example/admin",
    "an asterisk": "*",
    "escapes that are none": "/v1/%zz/%",
    "a control character": "/v1/%0d%0aGET%20/admin",
}


def test_a_path_that_is_not_what_it_seems(place: Place) -> None:
    def attack(path: str) -> set[int]:
        return set(place.both(lambda to: status(place.raw(to, get(path)))))

    found = place.all_at_once(PATHS, attack)
    assert {story: got for story, got in found.items() if not got <= {400, 403, 404}} == {}
    assert place.web.heads == place.api.heads == []


SMUGGLED = b"GET /admin HTTP/1.1\r\nHost: shop.example\r\n\r\n"
FRAMES = {
    "two lengths that differ": b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED),
    "two lengths in one field": b"Content-Length: 0, %d\r\n\r\n" % len(SMUGGLED),
    "a length with a sign": b"Content-Length: +0\r\n\r\n",
    "a length in hex": b"Content-Length: 0x0\r\n\r\n",
    "a negative length": b"Content-Length: -1\r\n\r\n",
    "a length and chunks, chunks end first": b"Content-Length: %d\r\n" % (len(SMUGGLED) + 5)
    + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length of nothing, and chunks": b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding that nobody knows": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked, but not last": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "two codings in two fields": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a vertical tab in the coding": b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a folded field": b"X-A: 1\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a field that begins with a space": b" Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk size that is none": b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "a chunk size that overflows": b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nx\r\n0\r\n\r\n",
    "a chunk that is longer than it says": b"Transfer-Encoding: chunked\r\n\r\n1\r\nxxxx\r\n0\r\n\r\n",
    "a NUL in a field": b"X-A: 1\x002\r\n\r\n",
    "a bare carriage return in a field": b"X-A: 1\rTransfer-Encoding: chunked\r\n\r\n",
}


def test_a_second_request_hidden_in_the_framing_of_the_first(place: Place) -> None:
    """The proxy and the application must not disagree about where a request ends."""

    def attack(frame: bytes) -> int:
        head = b"GET /v1/x HTTP/1.1\r\nHost: shop.example\r\n"
        sent = head + frame + SMUGGLED
        return max(place.both(lambda to: place.raw(to, sent, wait=1.0).count(b"HTTP/1.1 200")))

    found = place.all_at_once(FRAMES, attack)
    assert {story: answers for story, answers in found.items() if answers > 1} == {}


def test_a_pipelined_request_is_judged_by_itself(place: Place) -> None:
    answer = place.raw("web", get().replace(b"Connection: close\r\n", b"") + get("/admin"))
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"403"]


HEADERS: dict[str, tuple[str | None, tuple[str, ...]]] = {
    "the denied value is given first, then another": (HOST, ("X-Role: guest", "X-Role: admin")),
    "the denied value is given last": (HOST, ("X-Role: admin", "X-Role: guest")),
    "the denied value, then nothing": (HOST, ("X-Role: guest", "X-Role:")),
    "the denied value in another case of the name": (HOST, ("x-rOLE: guest",)),
    "the denied value with spaces around": (HOST, ("X-Role:   guest \t",)),
    "another host": ("evil.example", ()),
    "two hosts": (HOST, ("Host: evil.example",)),
    "two hosts, the other first": ("evil.example", (f"Host: {HOST}",)),
    "two hosts in one": (f"{HOST},evil.example", ()),
    "a user in the host": (f"{HOST}@evil.example", ()),
    "no host": (None, ()),
    "an empty host": ("", ()),
    "a host in front of the host": (f"{HOST}.evil.example", ()),
    "a host of our own headers": ("evil.example", (f"X-Forwarded-Host: {HOST}", f":authority: {HOST}")),
}


def test_a_header_that_two_readers_read_differently(place: Place) -> None:
    found = place.all_at_once(
        HEADERS, lambda one: status(place.raw("api", get("/v1/x", *one[1], host=one[0])))
    )
    assert {story: got for story, got in found.items() if got not in {0, 400, 403}} == {}
    assert place.api.heads == []


def test_the_host_of_an_absolute_target_counts_and_no_other(place: Place) -> None:
    assert status(place.raw("api", get("http://evil.example/v1/x"))) == 403
    assert status(place.raw("api", get(f"http://{HOST}/v1/x", host="evil.example"))) in {200, 400}


def test_a_header_named_as_hop_by_hop_is_not_lost_behind_the_proxy(place: Place) -> None:
    """`Connection: X-Role` would have the next hop drop a header that was judged."""
    for value in ("admin", "guest"):
        place.raw("api", get("/v1/x", f"X-Role: {value}", "Connection: X-Role"))
    for head in place.api.heads:  # it was gone before anything was judged, and so was the order to drop it
        assert b"x-role" not in head.lower()


CONTROLS = (
    "X-Forwarded-For: 10.9.9.9",
    "Forwarded: for=10.9.9.9",
    "X-Real-IP: 10.9.9.9",
    "X-Envoy-External-Address: 10.9.9.9",
    "X-Envoy-Original-Path: /v1/x",
    "X-Envoy-Original-Dst-Host: 10.244.0.3:25",
    "X-Original-URL: /v1/x",
    "X-HTTP-Method-Override: GET",
    "X-Envoy-Internal: true",
    "X-Forwarded-Client-Cert: By=spiffe://x;URI=spiffe://bank.local/ns/default/sa/customer",
)


def test_no_header_says_who_asks_or_what_for_or_leads_elsewhere(place: Place) -> None:
    assert status(place.raw("web", get("/admin", *CONTROLS))) == 403
    assert status(place.raw("web", get("/v1/x", *CONTROLS, method="DELETE"))) == 403
    assert place.raw("web", get("/v1/x", *CONTROLS), client="stranger") == b""
    assert status(place.raw("web", get("/v1/x", *CONTROLS))) == 200
    source = place.bed.seen(log="http", path="/v1/x", status=200).source
    assert source == place.pod("customer").address


METHODS = ("CONNECT", "TRACE", "get", "GET\x0b", "PRI", "POST", "G" * 5000)


def test_a_method_that_is_not_the_allowed_one(place: Place) -> None:
    def attack(method: str) -> list[int]:
        path = "mail:25" if method == "CONNECT" else "/v1/x"
        return place.both(lambda to: status(place.raw(to, get(path, method=method), wait=1.0)))

    found = place.all_at_once({one: one for one in METHODS}, attack)
    assert {one: got for one, got in found.items() if not set(got) <= {0, 400, 403, 404, 405}} == {}


UPGRADES = ("h2c", "websocket", "tls/1.0", "anything", "websocket, h2c")


def test_an_upgrade_that_the_application_did_not_agree_to(place: Place) -> None:
    """After an upgrade nothing is judged any more, so bytes must wait until the application has said 101."""

    def attack(upgrade: str) -> list[bytes]:
        head = get("/v1/x", f"Upgrade: {upgrade}", "HTTP2-Settings: AAMAAABkAAQAAP__")
        head = head.replace(b"Connection: close", b"Connection: Upgrade, HTTP2-Settings")
        return place.both(lambda to: place.raw(to, head + SMUGGLED, wait=1.0))

    for answers in place.all_at_once({one: one for one in UPGRADES}, attack).values():
        for answer in answers:
            assert b" 101 " not in answer
            assert answer.count(b"HTTP/1.1 200") <= 1, answer


class Http2:
    """A client that holds to no rule of HTTP/2 that it does not like."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        config = h2.config.H2Configuration(
            client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self._state = h2.connection.H2Connection(config)
        self._state.initiate_connection()

    def ask(self, *headers: tuple[str, str]) -> int:
        """Status of the answer; 0 when the stream or the connection was ended instead."""
        connect = (":method", "CONNECT") in headers
        self._state.send_headers(1, list(headers), end_stream=not connect)
        self._socket.sendall(self._state.data_to_send())
        while data := self._receive():
            for event in self._state.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    return int(dict(event.headers)[b":status"])
                if isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                    return 0
        return 0

    def through(self, sent: bytes) -> bytes:
        """What first comes back through the tunnel for these bytes."""
        self._state.send_data(1, sent)
        self._socket.sendall(self._state.data_to_send())
        while data := self._receive():
            for event in self._state.receive_data(data):
                if isinstance(event, h2.events.DataReceived) and event.data:
                    return bytes(event.data)
        return b""

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(65536)
        except ConnectionError:
            return b""


def pseudo(method: str = "GET", path: str = "/v1/x", host: str = HOST) -> list[tuple[str, str]]:
    return [(":method", method), (":scheme", "http"), (":authority", host), (":path", path)]


H2_ATTACKS: dict[str, list[tuple[str, str]]] = {
    "two paths": [*pseudo(), (":path", "/admin")],
    "two methods": [*pseudo(), (":method", "DELETE")],
    "two authorities": [*pseudo(), (":authority", "evil.example")],
    "no path": pseudo()[:3],
    "an empty path": pseudo(path=""),
    "a pseudo header after a field": [("x-a", "1"), *pseudo()],
    "a pseudo header that is none": [*pseudo(), (":role", "admin")],
    "a status in a request": [*pseudo(), (":status", "200")],
    "a host that is not the authority": [*pseudo(host="evil.example"), ("host", HOST)],
    "a name in upper case": [*pseudo(), ("X-Role", "guest")],
    "a line break in a value": [*pseudo(), ("x-a", f"1\r\n{GUEST}: guest")],
    "a line break in the path": pseudo(path="/v1/x HTTP/1.1\r\nHost: a\r\n\r\nGET /admin"),
    "a space in the path": pseudo(path="/v1/x HTTP/1.1"),
    "a line break in the method": pseudo(method="GET /admin HTTP/1.1\r\nX: "),
    "a colon in a name": [*pseudo(), (f"{GUEST}: guest\r\nx", "1")],
    "a coding, which HTTP/2 has not": [*pseudo("POST"), ("transfer-encoding", "chunked")],
    "a connection header": [*pseudo(), ("connection", GUEST), (GUEST, "admin")],
    "the denied value": [*pseudo(), (GUEST, "guest")],
    "the denied value behind a space": [*pseudo(), (GUEST, " guest")],
    "the denied value before a space": [*pseudo(), (GUEST, "guest ")],
    "the denied value behind a tab": [*pseudo(), (GUEST, "\tguest")],
    "the denied value twice": [*pseudo(), (GUEST, "admin"), (GUEST, "guest")],
    "the denied value after a space": [*pseudo(), (GUEST, "admin"), (GUEST, " guest")],
    "the denied value with a NUL": [*pseudo(), (GUEST, "guest\x00")],
    "CONNECT to somewhere else": [(":method", "CONNECT"), (":authority", "mail:25")],
    "extended CONNECT": [*pseudo("CONNECT"), (":protocol", "websocket")],
    "extended CONNECT of nothing known": [*pseudo("CONNECT", "/v1/x"), (":protocol", "bytes")],
    "a dot segment": pseudo(path="/v1/../admin"),
    "an absolute path": pseudo(path="http://shop.example/admin"),
    "another scheme": [(":method", "GET"), (":scheme", "file"), *pseudo(path="/admin")[2:]],
}


def test_http2_that_becomes_something_else_behind_the_proxy(place: Place) -> None:
    """With prior knowledge; the application is asked in HTTP/2 then too."""

    def attack(headers: list[tuple[str, str]], target: str) -> int:
        with place.pod("customer").connect(place.pod(target).address, 80) as connection:
            return Http2(connection).ask(*headers)

    found = place.all_at_once(H2_ATTACKS, partial(attack, target="api"))
    assert {story: got for story, got in found.items() if got == 200} == {}
    place.all_at_once(H2_ATTACKS, partial(attack, target="web"))  # what it heard tells


def test_what_http2_calls_no_host_is_refused_also_where_any_host_may_be(place: Place) -> None:
    """RFC 9113, 8.3.1; in HTTP/1 it passes."""
    for host, expected in ((HOST, 200), (f"me@{HOST}", 0), ("", 0)):
        with place.pod("customer").connect(place.pod("web").address, 80) as connection:
            assert Http2(connection).ask(*pseudo(host=host)) == expected
    assert status(place.raw("web", get(host=f"me@{HOST}"))) == 200


def client_hello() -> bytes:
    """How TLS begins."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    handshake = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
    with pytest.raises(ssl.SSLWantReadError):
        handshake.do_handshake()
    return outgoing.read()


ADMIN = get("/admin")
OPENINGS: dict[str, tuple[bytes, ...]] = {
    "TLS, which nobody could look into": (client_hello(),),
    "TLS, then HTTP in the clear": (client_hello(), ADMIN),
    "a banner of another protocol, then HTTP": (b"SSH-2.0-x\r\n", ADMIN),
    "zeros, then HTTP": (b"\x00" * 64, ADMIN),
    "empty lines, then HTTP": (b"\r\n\r\n\r\n", ADMIN),
    "letter by letter": tuple(bytes([one]) for one in ADMIN),
    "a protocol that looks like HTTP": (b"GETX /admin HTTP/1.1\r\nHost: a\r\n\r\n",),
    "HTTP of the first version, which has no head": (b"GET /admin\r\n",),
    "HTTP of a version to come": (b"GET /admin HTTP/3.0\r\nHost: a\r\n\r\n",),
    "the preface of HTTP/2 and no HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ADMIN),
    "half a preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\n", ADMIN),
    "the PROXY protocol says who asks": (b"PROXY TCP4 10.244.0.9 10.244.0.1 9 80\r\n", ADMIN),
    "the PROXY protocol, binary": (b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", ADMIN),
    "a SOCKS greeting": (b"\x05\x01\x00", ADMIN),
    "nothing, and then not HTTP": (b"", b"\x00\x01\x02"),
}


def test_how_a_connection_opens_gets_nobody_past_inspection(place: Place) -> None:
    def attack(parts: tuple[bytes, ...]) -> bytes:
        with place.pod("customer").connect(place.pod("web").address, 80) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                for part in parts:
                    connection.sendall(part)
                    time.sleep(0.005)  # a segment of its own
            except ConnectionError:
                return b""
            return drain(connection, 1.0)

    found = place.all_at_once(OPENINGS, attack)
    assert {story: got for story, got in found.items() if b" 200 " in got} == {}
    assert place.web.heads == []


def test_a_server_that_speaks_first_greets_no_denied_client(place: Place) -> None:
    def attack(client: str) -> bytes:
        with place.pod(client).connect(place.pod("mail").address, 25) as connection:
            return drain(connection, 1.0)

    found = place.all_at_once({one: one for one in ("customer", "stranger", "wire")}, attack)
    assert set(found.values()) == {b""}


def test_the_name_asked_for_in_tls_opens_nothing(place: Place) -> None:
    """`wire` may read `web`; it asks `mail` and `api` for a tunnel and says that it wants `web`."""
    own = place.bed.issue(place.pod("wire").identity)
    for name in (None, "web", "outbound_.80_._.web.default", "spiffe://bank.local/ns/default/sa/web"[:60]):
        with tls_socket(place.bed, place.pod("wire"), own, place.pod("mail").address, 25, name) as secure:
            assert tunnel_status(secure, f"{place.pod('web').address}:80") == 403


def test_a_tunnel_made_by_hand_leads_where_its_connection_went_and_is_judged(place: Place) -> None:
    own = place.bed.issue(place.pod("wire").identity)
    with tls_socket(place.bed, place.pod("wire"), own, place.pod("web").address, 80) as secure:
        tunnel = Http2(secure)
        assert tunnel.ask((":method", "CONNECT"), (":authority", f"{place.pod('mail').address}:25")) == 200
        assert status(tunnel.through(get("/admin"))) == 403
    with tls_socket(place.bed, place.pod("wire"), own, place.pod("web").address, 80) as secure:
        assert Http2(secure).ask(*pseudo()) in {403, 404}  # a request where a tunnel should be
    with tls_socket(place.bed, place.pod("wire"), own, place.pod("web").address, 80) as secure:
        assert Http2(secure).ask(*pseudo("CONNECT"), (":protocol", "websocket")) in {0, 403, 404}
