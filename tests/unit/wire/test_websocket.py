from __future__ import annotations

import base64

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, Ping, Pong, TextMessage

from tsujiban.wire import websocket
from tsujiban.wire.websocket import WebSocket, WebSocketError, accept_token


def test_accept_token() -> None:
    assert accept_token("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3


@pytest.mark.parametrize(
    "key", ["", "dGhl", "dGhlIHNhbXBsZSBub25jZQ", base64.b64encode(b"x" * 17).decode(), "ä"]
)
def test_a_key_that_is_none(key: str) -> None:
    with pytest.raises(WebSocketError):
        accept_token(key)


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_messages_both_ways(step: int) -> None:
    client, server = WebSocket(client=True), WebSocket()
    sent = [b"", b"\0hello", b"x" * 70_000]
    for message in sent:
        client.send(message)
    stream = client.take()
    got = [m for start in range(0, len(stream), step) for m in server.feed(stream[start : start + step])]
    assert got == sent
    server.send(b"back")
    assert list(client.feed(server.take())) == [b"back"]


def test_pieces_text_and_pings() -> None:
    peer, server = Connection(ConnectionType.CLIENT), WebSocket()
    stream = peer.send(BytesMessage(data=b"a", message_finished=False)) + peer.send(Ping(payload=b"?"))
    assert list(server.feed(stream)) == []
    peer.receive_data(server.take())
    assert next(event for event in peer.events() if isinstance(event, Pong)).payload == b"?"
    assert list(server.feed(peer.send(BytesMessage(data=b"b")) + peer.send(TextMessage(data="ä")))) == [
        b"ab",
        "ä".encode(),
    ]


def test_a_close_is_answered_and_nothing_follows() -> None:
    client, server = WebSocket(client=True), WebSocket()
    client.send(b"last")
    client.close(reason="done")
    assert list(server.feed(client.take())) == [b"last"]
    assert server.closed
    assert list(client.feed(server.take())) == []
    assert client.closed
    server.send(b"too late")
    assert server.take() == b""


def test_too_long_a_message_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MAX_MESSAGE", 10)
    client, server = WebSocket(client=True), WebSocket()
    client.send(b"x" * 11)
    with pytest.raises(WebSocketError):
        list(server.feed(client.take()))
    list(client.feed(server.take()))
    assert client.closed


def test_garbage_ends_it() -> None:
    server = WebSocket()
    with pytest.raises(WebSocketError):
        list(server.feed(b"\xff" * 20))
    assert server.take()
