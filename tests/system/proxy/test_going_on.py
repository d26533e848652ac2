"""Who is inside stays inside? A client opens a WebSocket, or a request that never ends, while it may; then
it may no more, or its certificate is revoked. What others have open goes on."""

from __future__ import annotations

import socket
import time

import h2.config
import h2.connection
import h2.events
import pytest
from tests.support.jwts import Issuer
from tests.support.meshapps import READS, allow, rest
from tests.support.proxybed import Bed, Pod, tier, until
from tests.support.revoking import revoked, serial

from tsujiban.policy.program import (
    AuthzAction,
    AuthzOperation,
    AuthzProgram,
    AuthzRule,
    AuthzSource,
    Http,
    JwtRule,
    PathMatch,
    StringMatch,
)
from tsujiban.policy.revocation import RULE
from tsujiban.proxy import filters
from tsujiban.proxy.requests import TOKEN_GRACE_SECONDS

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

    def __init__(self, pod: Pod, address: str, path: str, token: str = "") -> None:
        self.connection = pod.connect(address, 80)
        head = f"GET {path} HTTP/1.1\r\nHost: web\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        key += f"Authorization: Bearer {token}\r\n" if token else ""
        self.connection.sendall(f"{head}{key}\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.connection.recv(65536)
        self.status = int(answer[9:12])

    @property
    def open(self) -> bool:
        return self.status == 101

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
def web(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> Pod:
    monkeypatch.setattr(filters, "REQUESTS_REPEATED", "1s")
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
    assert news.open
    assert prices.open
    assert friends.open

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


def test_a_websocket_outlives_the_token_that_let_it_in(node_bed: Bed) -> None:
    """An account is closed; whoever has come in with its last token keeps the door open."""
    idp = Issuer("https://idp.example")
    by_token = AuthzRule(
        id="default/authz:web/0", sources=(AuthzSource(request_principals=(StringMatch(present=True),)),)
    )
    free = AuthzRule(
        id="default/authz:web/1", operations=(AuthzOperation(paths=(StringMatch(prefix="/free"),)),)
    )
    policy = AuthzProgram(id="default/authz:web", action=AuthzAction.ALLOW, rules=(by_token, free))
    tokens = JwtRule(issuer=idp.name, id="default/ra:web/0", jwks=idp.jwks)
    web = node_bed.pod("web", jwt=(tokens,), authorization=(policy.id,))
    web.listen(80, _application)
    customer = node_bed.pod("customer")
    assert node_bed.update(authorizations={policy.id: policy}) == ()
    node_bed.settle()

    def soon_over(path: str) -> Socket:
        """With a token that has ended already, and that Envoy takes for some seconds still."""
        ending = int(time.time() - TOKEN_GRACE_SECONDS + 4)
        return Socket(customer, web.address, path, idp.token(sub="alice", exp=ending))

    def opened(path: str) -> Socket:
        found = until(f"{path} opens", lambda: one if (one := soon_over(path)).open else None)
        assert found is not None
        return found

    lasting = Socket(customer, web.address, "/v1", idp.token(sub="bob"))
    assert lasting.open
    freely, alices = opened("/free"), opened("/v1")
    assert rest(alices.connection) == b""
    ended = node_bed.seen(log="ended", path="/v1")
    assert (ended.rules, ended.peer) == ((tokens.id,), customer.identity)
    assert ended.detail.startswith("ended: its token")
    assert lasting.echoes()
    assert freely.echoes()
