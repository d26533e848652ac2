"""How a gRPC server is, asked of a real one, and of those that answer anything."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from grpclib.health.check import ServiceStatus
from grpclib.health.service import Health
from grpclib.server import Server
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded
from h2.settings import SettingCodes
from tests.support.wait import PATIENCE

from tsujiban.agent import grpchealth
from tsujiban.agent.grpchealth import HealthError

OK = [("grpc-status", "0")]
HEAD = [(":status", "200"), ("content-type", "application/grpc")]


class Named:
    """A service of a real server, that only has its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __mapping__(self) -> dict[str, object]:
        return {f"/{self._name}/Do": object()}


def ask_real(service: str, *, serving: bool | None) -> str:
    """Of a server with one service, `shop.Cart`."""

    async def run() -> str:
        status = ServiceStatus()
        status.set(serving)
        server = Server([Health({Named("shop.Cart"): [status]})])
        listening = socket.create_server(("127.0.0.1", 0))
        await server.start(sock=listening)
        try:
            return await asyncio.to_thread(ask, listening.getsockname()[1], service)
        finally:
            server.close()
            await server.wait_closed()

    return asyncio.run(run())


def ask(port: int, service: str) -> str:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        return grpchealth.check(connection, f"127.0.0.1:{port}", service)


@pytest.mark.parametrize(
    ("service", "serving", "expected"),
    [
        ("", True, ""),
        ("shop.Cart", True, ""),
        ("", False, "it is NOT_SERVING"),
        ("shop.Cart", False, "it is NOT_SERVING"),
        ("shop.Cart", None, "it is UNKNOWN"),
        ("shop.Other", True, "gRPC status 5"),
        ("n" * 300, True, "gRPC status 5"),
    ],
)
def test_a_real_server_is_understood(service: str, serving: bool | None, expected: str) -> None:
    answer = ask_real(service, serving=serving)
    assert answer.startswith(expected)
    assert bool(answer) == bool(expected)


Reply = Callable[[H2Connection, int], None]


@contextmanager
def answering(reply: Reply) -> Iterator[int]:
    """A server that answers one request with `reply`, and ends; the port."""

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(ConnectionError):  # the client may leave
            http = H2Connection(H2Configuration(client_side=False))
            http.initiate_connection()
            connection.sendall(http.data_to_send())
            while data := connection.recv(65536):
                for event in http.receive_data(data):
                    if isinstance(event, StreamEnded):
                        reply(http, event.stream_id)
                connection.sendall(http.data_to_send())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()


def said(body: bytes, trailers: list[tuple[str, str]] = OK, head: list[tuple[str, str]] = HEAD) -> Reply:
    def reply(http: H2Connection, stream: int) -> None:
        http.send_headers(stream, head)
        http.send_data(stream, body)
        http.send_headers(stream, trailers, end_stream=True)

    return reply


def message(body: bytes) -> bytes:
    return struct.pack(">BI", 0, len(body)) + body


def test_a_call_that_failed_is_told_as_the_server_tells_it() -> None:
    with answering(said(b"", [("grpc-status", "14"), ("grpc-message", "x" * 999)])) as port:
        assert ask(port, "") == f"gRPC status 14: {'x' * 200}"
    with answering(said(message(b"\x08\x01"), head=[(":status", "404")])) as port:
        assert ask(port, "") == "gRPC status 0"
    with answering(said(message(b"\x08\x01"), [("other", "1")])) as port:
        assert ask(port, "") == "gRPC status unknown"
    with answering(said(message(b"\x08\x07"))) as port:
        assert ask(port, "") == "it is 7"
    with answering(said(message(b""))) as port:
        assert ask(port, "") == "it is UNKNOWN"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0\0",
        message(b"\x08\x01") + b"x",
        b"\x01" + message(b"\x08\x01")[1:],
        message(b"\x08\x81\x01"),
        message(b"\x12\x00"),
    ],
)
def test_what_is_no_answer_is_none(body: bytes) -> None:
    with answering(said(body)) as port, pytest.raises(HealthError, match="the answer is no"):
        ask(port, "")


def test_who_says_too_much_is_left() -> None:
    def pings(http: H2Connection, stream: int) -> None:
        http.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        for _ in range(grpchealth.MAX_ANSWER // 17 + 1):  # bytes of one
            http.ping(b"12345678")

    with answering(pings) as port, pytest.raises(HealthError, match="too much"):
        ask(port, "")


def test_who_ends_the_call_is_told_of() -> None:
    with (
        answering(lambda http, stream: http.reset_stream(stream, 7)) as port,
        pytest.raises(HealthError, match="HTTP/2 error"),
    ):
        ask(port, "")
    with (
        answering(lambda http, stream: http.close_connection()) as port,
        pytest.raises(HealthError, match="ended the call"),
    ):
        ask(port, "")


def test_who_hangs_up_or_speaks_no_http2_is_told_of() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(HealthError, match="hung up"):
            grpchealth.check(ours, "x", "")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"\0\0\1\0\0\0\0\0\0x")  # data of no stream
        with pytest.raises(HealthError, match="not HTTP/2"):
            grpchealth.check(ours, "x", "")
