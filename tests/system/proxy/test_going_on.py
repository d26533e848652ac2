"""Who is inside stays inside? A client opens a WebSocket, or a request that never ends, while it may; then
it may no more, or its certificate is revoked. What others have open goes on."""

from __future__ import annotations

import socket

import h2.config
import h2.connection
import h2.events
import pytest
from tests.support.meshapps import READS, allow, rest
from tests.support.proxybed import Bed, Pod, tier
from tests.support.revoking import revoked, serial

from tsujiban.policy.program import Http, PathMatch
from tsujiban.policy.revocation import RULE

pytestmark = pytest.mark.system

DEFAULT = "_tier/default/ingress/default"
REQUEST = [(":method", "GET"), (":scheme", "http"), (":authority", "web")]


def _application(connection: socket.socket) -> None:
    """Answers in HTTP/2 without an end; in HTTP/1 it agrees to any WebSocket and sends back what it gets."""
    data = connection.recv(65536)
    if not data.startswith(b"PRI * HTTP/2"):
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        agreed = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        connection.sendall(agreed)
        while part := connection.recv(65536):
            connection.sendall(part)
        return
    state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    state.initiate_connection()
    while data:
        for event in state.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                state.send_headers(event.stream_id, [(":status", "200")])
        connection.sendall(state.data_to_send())
        data = connection.recv(65536)


class Socket:
    """A WebSocket of a pod's application."""

    def __init__(self, pod: Pod, address: str, path: str) -> None:
        self.connection = pod.connect(address, 80)
        head = f"GET {path} HTTP/1.1\r\nHost: web\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        self.connection.sendall((head + key).encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += self.connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 101 "), answer

    def echoes(self) -> bool:
        self.connection.sendall(b"still there?")
        return self.connection.recv(65536) == b"still there?"


def stream(pod: Pod, address: str) -> socket.socket:
    """A connection with one request in HTTP/2 that has been answered and goes on."""
    connection = pod.connect(address, 80)
    state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    state.initiate_connection()
    state.send_headers(1, [*REQUEST, (":path", "/v1/prices")], end_stream=True)
    connection.sendall(state.data_to_send())
    while not any(
        isinstance(event, h2.events.ResponseReceived) for event in state.receive_data(connection.recv(65536))
    ):
        connection.sendall(state.data_to_send())
    connection.sendall(state.data_to_send())
    return connection


@pytest.fixture
def web(bed: Bed) -> Pod:
    made = bed.pod("web", ingress=(tier("default/web"),), authorization=(RULE,))
    made.listen(80, _application)
    clients = [bed.pod(name, authorization=(RULE,)) for name in ("customer", "friend")]
    assert bed.update(authorizations=revoked(bed), **allow(*clients, http=READS)) == ()
    bed.settle()
    return made


def test_what_goes_on_ends_when_it_is_denied_and_nothing_else_does(bed: Bed, web: Pod) -> None:
    customer, friend = bed.pods["customer"], bed.pods["friend"]
    lasting = stream(friend, web.address)
    news, prices = (Socket(customer, web.address, path) for path in ("/v1/news", "/v1/prices"))
    friends = Socket(friend, web.address, "/v1/prices")

    # one path less
    prices_only = Http(methods=("GET",), paths=(PathMatch(prefix="/v1/prices"),))
    assert bed.update(**allow(customer, friend, http=prices_only)) == ()
    assert rest(news.connection) == b""
    ended = bed.seen(log="ended", path="/v1/news")
    assert (ended.rules, ended.peer, ended.source) == ((DEFAULT,), customer.identity, customer.address)
    assert prices.echoes()

    # a certificate is revoked
    assert bed.update(authorizations=revoked(bed, serial(bed.svids[customer.id]))) == ()
    assert rest(prices.connection) == b""
    assert bed.seen(log="ended", path="/v1/prices").rules == (RULE,)
    assert friends.echoes()

    # a client less; of a request that says nothing, the agent hears within seconds
    assert bed.update(**allow(customer, http=prices_only)) == ()
    assert rest(friends.connection) == b""
    rest(lasting)
