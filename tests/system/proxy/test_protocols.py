"""gRPC and WebSocket through the proxies: with real peers at both ends, unchanged."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import grpclib.client
import grpclib.const
import grpclib.server
import pytest
from google.protobuf import wrappers_pb2
from grpclib.exceptions import GRPCError
from tests.support.meshapps import allow
from tests.support.proxybed import Bed, Pod, tier
from tests.support.wait import PATIENCE

from tsujiban.policy.program import Http, PathMatch

pytestmark = pytest.mark.system

PORT, SOCKETS = 9090, 8080
READ = Http(paths=(PathMatch(prefix="/bank.Accounts/Read"), PathMatch(prefix="/live")))


class Accounts:
    """Counts from one to what it is asked for; two methods that do the same."""

    async def _count(self, stream: Any) -> None:
        asked = await stream.recv_message()
        for number in range(1, asked.value + 1):
            await stream.send_message(wrappers_pb2.Int32Value(value=number))

    def __mapping__(self) -> dict[str, grpclib.const.Handler]:
        kind = grpclib.const.Cardinality.UNARY_STREAM
        handler = grpclib.const.Handler(self._count, kind, wrappers_pb2.Int32Value, wrappers_pb2.Int32Value)
        return {f"/bank.Accounts/{name}": handler for name in ("Read", "Write")}


class Channel(grpclib.client.Channel):  # type: ignore[misc]  # grpclib has no types
    """A channel over one connection of a pod's."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        connection.setblocking(False)
        self._own = connection

    async def _create_connection(self) -> Any:
        _, protocol = await self._loop.create_connection(self._protocol_factory, sock=self._own)
        return protocol


async def count(pod: Pod, address: str, method: str) -> list[int]:
    """What the server counts. Raises GRPCError."""
    kind = wrappers_pb2.Int32Value
    async with Channel(pod.connect(address, PORT)) as channel:
        call = grpclib.client.UnaryStreamMethod(channel, f"/bank.Accounts/{method}", kind, kind)
        return [one.value for one in await call(kind(value=3), timeout=PATIENCE)]


def socket_application(connection: socket.socket) -> None:
    """Agrees to any WebSocket, then sends back what it gets, and tells how it was asked."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, rest = data.partition(b"\r\n\r\n")
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    )
    connection.sendall(head.split(b"\r\n")[0] + b"|" + rest)
    while part := connection.recv(65536):
        connection.sendall(part)


@pytest.fixture(scope="module")
def bed(shared_bed: Bed) -> Iterator[Bed]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    web = shared_bed.pod("web", ingress=(tier("default/web"),), named_ports=(("grpc", 6, PORT),))
    listener = web.inside(lambda: socket.create_server(("", PORT)))
    web.listen(SOCKETS, socket_application)
    customer = shared_bed.pod("customer")
    shared_bed.update(**allow(customer, ports=(PORT, SOCKETS), http=READ))
    shared_bed.settle()

    async def begin() -> Any:
        server = grpclib.server.Server([Accounts()])
        await server.start(sock=listener)
        return server

    server = asyncio.run_coroutine_threadsafe(begin(), loop).result(PATIENCE)
    yield shared_bed

    async def end() -> None:
        server.close()
        await server.wait_closed()

    asyncio.run_coroutine_threadsafe(end(), loop).result(PATIENCE)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_stream_of_grpc_passes_and_a_denied_call_ends_as_grpc_has_it(bed: Bed) -> None:
    customer, address = bed.pods["customer"], bed.pods["web"].address
    assert asyncio.run(count(customer, address, "Read")) == [1, 2, 3]
    assert bed.seen(log="http", path="/bank.Accounts/Read").verdict == "allow"
    with pytest.raises(GRPCError) as refused:
        asyncio.run(count(customer, address, "Write"))
    denied = bed.seen(log="http", path="/bank.Accounts/Write")
    assert (denied.verdict, denied.rules) == ("deny", ("_tier/default/ingress/default",))
    assert refused.value.status is grpclib.const.Status.PERMISSION_DENIED
    assert refused.value.message == f"request denied by policy, id {denied.request_id}\n"


def upgrade(path: str) -> bytes:
    head = f"GET {path} HTTP/1.1\r\nHost: web\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()


def test_a_websocket_opens_where_its_path_is_allowed(bed: Bed) -> None:
    with bed.pods["customer"].connect(bed.pods["web"].address, SOCKETS) as connection:
        connection.sendall(upgrade("/live/prices"))
        answer = b""
        while not answer.endswith(b"|"):
            answer += connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert answer.endswith(b"\r\n\r\nGET /live/prices HTTP/1.1|")
        big = b"\x82" + b"z" * 200_000
        connection.sendall(big)
        back = b""
        while len(back) < len(big) and (part := connection.recv(65536)):
            back += part
        assert back == big


def test_a_websocket_opens_nowhere_else(bed: Bed) -> None:
    with bed.pods["customer"].connect(bed.pods["web"].address, SOCKETS) as connection:
        connection.sendall(upgrade("/admin"))
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 403 ")
    assert bed.seen(log="http", path="/admin").verdict == "deny"
