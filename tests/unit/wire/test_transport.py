"""The node stream over real TLS on loopback: who gets in, and what a malformed byte does."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from grpclib.protocol import Connection
from tests.support.nodestream import FULL, hello
from tests.support.pki import Pki, listener
from tests.support.wait import PATIENCE, until

from tsujiban.identity.tls import client_context
from tsujiban.identity.verify import identity_of_der
from tsujiban.wire import transport
from tsujiban.wire.messages import Enforced, Signed, ToController
from tsujiban.wire.sessions import STDIN, Data
from tsujiban.wire.transport import (
    BadMessage,
    ClientStream,
    NodeStreamServer,
    ServerSession,
    ServerStream,
    StreamLost,
    StreamRefused,
    connect,
    connect_session,
)

Handle = Callable[[ServerStream], Awaitable[None]]


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


@asynccontextmanager
async def serving(handle: Handle, context: ssl.SSLContext) -> AsyncIterator[int]:
    server = NodeStreamServer(handle)
    sock = listener()
    port: int = sock.getsockname()[1]
    await server.start(sock, context)
    try:
        yield port
    finally:
        server.close()


def run(pki: Pki, handle: Handle, client: Callable[[ClientStream], Awaitable[None]]) -> None:
    async def main() -> None:
        context = client_context(pki.node("node-1").path, pki.ca.bundle_pem)
        async with (
            asyncio.timeout(PATIENCE),
            serving(handle, pki.server()) as port,
            connect("127.0.0.1", port, context, "localhost") as stream,
        ):
            await client(stream)

    asyncio.run(main())


async def nothing(_stream: Any) -> None:
    return None


async def listen(stream: ClientStream) -> None:
    await stream.next()


# ---------------------------------------------------------------- what works


def test_both_ways_in_order_and_the_certificate_is_seen(pki: Pki) -> None:
    seen: list[ToController] = []
    names: list[str] = []

    async def echo(stream: ServerStream) -> None:
        names.append(str(identity_of_der(stream.peer_certificate, pki.trust_domain)))
        assert "127.0.0.1" in stream.peer_address
        while (message := await stream.receive()) is not None:
            seen.append(message)
            await stream.send(FULL)

    async def client(stream: ClientStream) -> None:
        for revision in range(50):
            await stream.send(Enforced(revision=revision, took_us=1))
        for _ in range(50):
            assert await stream.next() == FULL

    run(pki, echo, client)
    assert [message.revision for message in seen if isinstance(message, Enforced)] == list(range(50))
    assert names == [f"spiffe://{pki.trust_domain}/node/node-1"]


def test_large_message_to_a_node(pki: Pki) -> None:
    """Larger than every HTTP/2 window on the way."""
    text = "x" * (12 * 1024 * 1024)
    large = Signed(request=1, chain_pem=text)

    async def send(stream: ServerStream) -> None:
        await stream.send(large)
        await stream.receive()

    async def client(stream: ClientStream) -> None:
        assert await stream.next() == large

    run(pki, send, client)


# ---------------------------------------------------------------- how it ends


def test_refusal_reaches_the_node_with_its_reason(pki: Pki) -> None:
    async def refuse(_stream: ServerStream) -> None:
        raise StreamRefused("not you: 100% sure, \u00fcber")

    with pytest.raises(StreamRefused, match="not you: 100% sure, \u00fcber"):
        run(pki, refuse, listen)


def test_refusal_after_messages(pki: Pki) -> None:
    async def refuse(stream: ServerStream) -> None:
        await stream.send(FULL)
        raise StreamRefused("enough")

    async def client(stream: ClientStream) -> None:
        assert await stream.next() == FULL
        await stream.next()

    with pytest.raises(StreamRefused, match="enough"):
        run(pki, refuse, client)


def test_server_that_just_ends(pki: Pki) -> None:
    with pytest.raises(StreamLost, match="ended"):
        run(pki, nothing, listen)


def test_defect_in_the_controller_tells_the_node_nothing(pki: Pki) -> None:
    async def defect(_stream: ServerStream) -> None:
        raise ZeroDivisionError("internal detail")

    with pytest.raises(StreamRefused) as caught:
        run(pki, defect, listen)
    assert "detail" not in str(caught.value)


def test_nobody_listens(pki: Pki) -> None:
    sock = listener()
    port = sock.getsockname()[1]
    sock.close()

    async def main() -> None:
        context = client_context(pki.node("node-1").path, pki.ca.bundle_pem)
        async with connect("127.0.0.1", port, context, "localhost"):
            raise AssertionError("connected to nobody")

    with pytest.raises(StreamLost, match="Connect call failed"):
        asyncio.run(main())


def test_connection_cut_in_the_middle(pki: Pki) -> None:
    """The controller dies: the kernel resets the connection."""

    async def cut(stream: ServerStream) -> None:
        await stream.send(FULL)
        stream._stream.peer._transport.abort()

    async def client(stream: ClientStream) -> None:
        assert await stream.next() == FULL
        await stream.next()

    with pytest.raises(StreamLost):
        run(pki, cut, client)


def test_a_mute_server_times_out(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    """TCP is accepted, TLS never answers."""
    monkeypatch.setattr(transport, "CONNECT_TIMEOUT", 0.1)

    async def main() -> None:
        context = client_context(pki.node("node-1").path, pki.ca.bundle_pem)
        with listener() as sock:
            async with connect("127.0.0.1", sock.getsockname()[1], context, "localhost"):
                raise AssertionError("connected to a mute")

    with pytest.raises(StreamLost):
        asyncio.run(main())


# ---------------------------------------------------------------- who gets in


def reaches(pki: Pki, server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost") -> bool:
    """Whether a client gets as far as the handler."""
    reached: list[bool] = []

    async def handle(stream: ServerStream) -> None:
        reached.append(bool(stream.peer_certificate))
        await stream.receive()

    async def main() -> None:
        async with (
            asyncio.timeout(PATIENCE),
            serving(handle, server) as port,
            connect("127.0.0.1", port, client, name) as stream,
        ):
            # TLS 1.3: a client learns of a refused certificate only when it reads
            read = asyncio.create_task(stream.next())
            await until(lambda: bool(reached) or read.done())
            if read.done():
                read.result()
            read.cancel()
            await asyncio.gather(read, return_exceptions=True)

    try:
        asyncio.run(main())
    except (StreamLost, StreamRefused):
        assert reached == []
    return bool(reached)


def test_a_good_client(pki: Pki) -> None:
    assert reaches(pki, pki.server(), client_context(pki.node("node-1").path, pki.ca.bundle_pem))


def bare_context(bundle_pem: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=bundle_pem)
    context.set_alpn_protocols(["h2"])
    return context


def test_client_without_certificate(pki: Pki) -> None:
    assert not reaches(pki, pki.server(), bare_context(pki.ca.bundle_pem))


def test_client_of_another_authority(pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "evil").mkdir()
    evil = Pki(tmp_path / "evil")
    assert not reaches(pki, pki.server(), client_context(evil.node("node-1").path, pki.ca.bundle_pem))


def test_server_of_another_authority(pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "evil").mkdir()
    evil = Pki(tmp_path / "evil")
    assert not reaches(pki, evil.server(), client_context(pki.node("node-1").path, pki.ca.bundle_pem))


def test_expired_client(pki: Pki) -> None:
    node = pki.node("node-1", lifetime=2.0)

    async def expire() -> None:
        await until(lambda: time.time() > node.not_after)

    asyncio.run(expire())
    assert not reaches(pki, pki.server(), client_context(node.path, pki.ca.bundle_pem))


def test_server_of_another_name(pki: Pki) -> None:
    context = client_context(pki.node("node-1").path, pki.ca.bundle_pem)
    assert not reaches(pki, pki.server(dns="other", address="127.0.0.2"), context)


def test_workload_or_node_that_plays_the_controller(pki: Pki) -> None:
    """Their certificates have serverAuth, but no name that a node expects."""
    context = client_context(pki.node("node-1").path, pki.ca.bundle_pem)
    for credentials in (pki.workload(), pki.node("node-2").path):
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(credentials)
        server.load_verify_locations(cadata=pki.ca.bundle_pem)
        server.verify_mode = ssl.CERT_REQUIRED
        for name in ("localhost", "127.0.0.1", "node-2"):
            assert not reaches(pki, server, context, name)


def test_old_tls(pki: Pki) -> None:
    context = client_context(pki.node("node-1").path, pki.ca.bundle_pem)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert not reaches(pki, pki.server(), context)


def test_server_certificate_used_as_a_client(pki: Pki) -> None:
    pki.server(name="as-client.pem")
    context = client_context(pki.directory / "as-client.pem", pki.ca.bundle_pem)
    assert not reaches(pki, pki.server(), context)


def test_a_context_that_demands_no_certificate_is_refused(pki: Pki) -> None:
    context = pki.server()
    context.verify_mode = ssl.CERT_OPTIONAL

    async def main() -> None:
        with listener() as sock:
            await NodeStreamServer(nothing).start(sock, context)

    with pytest.raises(ValueError, match="demands client certificates"):
        asyncio.run(main())


# ---------------------------------------------------------------- malformed messages


def frame(payload: bytes, *, compressed: int = 0, length: int | None = None) -> bytes:
    return struct.pack(">BI", compressed, len(payload) if length is None else length) + payload


HELLO = msgspec.msgpack.encode(hello("node-1"))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (frame(b""), "not a message"),
        (frame(b"\xc1"), "not a message"),
        (frame(HELLO[:-1]), "not a message"),
        (frame(HELLO + b"\x00"), "not a message"),
        (frame(msgspec.msgpack.encode({"type": "Nonsense"})), "not a message"),
        (frame(msgspec.msgpack.encode({"type": "Policy", "delta": {"revision": 1}})), "not a message"),
        (frame(msgspec.msgpack.encode({"type": "Hello", "node": 7})), "not a message"),
        (frame(b"\x91" * 100_000), "not a message"),
        (frame(HELLO, compressed=1), "compressed"),
        (frame(b"", length=transport.MAX_TO_CONTROLLER + 1), "larger than"),
        (frame(b"", length=0xFFFFFFFF), "larger than"),
    ],
)
def test_malformed(pki: Pki, data: bytes, reason: str) -> None:
    """The controller says what was wrong, and goes on serving others."""

    async def read(stream: ServerStream) -> None:
        await stream.receive()

    async def client(stream: ClientStream) -> None:
        await stream._stream._stream.send_data(data)
        await stream.next()

    with pytest.raises(StreamRefused, match=reason):
        run(pki, read, client)


def test_stream_that_ends_inside_a_message(pki: Pki) -> None:
    errors: list[str] = []

    async def read(stream: ServerStream) -> None:
        try:
            await stream.receive()
        except BadMessage as error:
            errors.append(str(error))
            raise

    async def client(stream: ClientStream) -> None:
        await stream._stream._stream.send_data(frame(HELLO)[:-3], end_stream=True)
        await stream.next()

    with pytest.raises(StreamRefused, match="in the middle"):
        run(pki, read, client)
    assert errors == ["stream ended in the middle of a message"]


def test_oversize_message_is_not_read_into_memory(pki: Pki) -> None:
    """4 GiB are announced: the announcement alone ends the stream."""
    received: list[int] = []

    async def read(stream: ServerStream) -> None:
        try:
            await stream.receive()
        finally:
            received.append(stream._stream._stream.data_received)

    async def client(stream: ClientStream) -> None:
        await stream._stream._stream.send_data(frame(b"x" * 60_000, length=0xFFFFFFFF))
        await stream.next()

    with pytest.raises(StreamRefused, match="larger than"):
        run(pki, read, client)
    assert received[0] <= 65536 + 5


def test_sender_refuses_what_the_peer_would_refuse_and_goes_on(pki: Pki) -> None:
    seen: list[ToController] = []

    async def read(stream: ServerStream) -> None:
        message = await stream.receive()
        assert message is not None
        seen.append(message)
        await stream.send(FULL)

    async def client(stream: ClientStream) -> None:
        problem = "x" * (transport.MAX_TO_CONTROLLER + 1)
        with pytest.raises(BadMessage, match=r"Enforced of .* is larger"):
            await stream.send(Enforced(revision=1, took_us=1, problems=(problem,)))
        await stream.send(Enforced(revision=2, took_us=1))
        assert await stream.next() == FULL

    run(pki, read, client)
    assert seen == [Enforced(revision=2, took_us=1)]


def test_malformed_message_to_a_node(pki: Pki) -> None:
    async def write(stream: ServerStream) -> None:
        await stream._stream.send_message(HELLO)
        await stream.receive()

    with pytest.raises(BadMessage, match="not a message"):
        run(pki, write, listen)


def test_noise_instead_of_tls_disturbs_nobody(pki: Pki) -> None:
    async def echo(stream: ServerStream) -> None:
        await stream.receive()
        await stream.send(FULL)

    async def main() -> None:
        context = client_context(pki.node("node-1").path, pki.ca.bundle_pem)
        async with serving(echo, pki.server()) as port:
            for noise in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\x00" * 100):
                with socket.create_connection(("127.0.0.1", port)) as sock:
                    sock.sendall(noise)
            async with connect("127.0.0.1", port, context, "localhost") as stream:
                await stream.send(hello("node-1"))
                assert await stream.next() == FULL

    asyncio.run(main())


def test_kernel_watches_over_both_ends(pki: Pki) -> None:
    """A peer that vanishes without a word is noticed: TCP keep-alive and user timeout are on."""
    options: list[tuple[int, int]] = []

    def watch(sock: Any) -> None:
        options.append(
            (
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
            )
        )

    async def handle(stream: ServerStream) -> None:
        watch(stream._stream.peer._transport.get_extra_info("socket"))
        await stream.send(FULL)

    async def client(stream: ClientStream) -> None:
        watch(stream._stream.peer._transport.get_extra_info("socket"))
        await stream.next()

    run(pki, handle, client)
    assert options == [(1, 10_000)] * 2


@asynccontextmanager
async def relay(port: int, open_: asyncio.Event) -> AsyncIterator[int]:
    """A network that takes every byte and, while `open_` is not set, delivers none."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await open_.wait()
            writer.write(data)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        tasks = [asyncio.create_task(pump(*ends)) for ends in ((reader, far_writer), (far_reader, writer))]
        try:
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            writer.close()
            far_writer.close()

    sock = listener()
    server = await asyncio.start_server(accept, sock=sock)
    try:
        yield sock.getsockname()[1]
    finally:
        server.close()


def test_silence_is_noticed_on_both_sides(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network swallows everything: no reset, no end. Pings go unanswered, and no polite
    farewell (30 s in TLS, more than this test has) is waited for."""
    monkeypatch.setattr(transport, "PING_INTERVAL", 0.1)
    monkeypatch.setattr(transport, "PING_TIMEOUT", 10 * PATIENCE)  # before the silence, whoever stands still
    monkeypatch.setattr(transport, "WATCH_INTERVAL", 0.05)
    lost: list[str] = []
    answers: list[Connection] = []
    process = Connection.ping_ack_process

    def counted(connection: Connection) -> None:
        answers.append(connection)
        process(connection)

    monkeypatch.setattr(Connection, "ping_ack_process", counted)

    async def handle(stream: ServerStream) -> None:
        await stream.send(FULL)
        try:
            await stream.watch()
        except StreamLost:
            lost.append("server")
            raise

    async def main() -> None:
        context = client_context(pki.node("node-1").path, pki.ca.bundle_pem)
        open_ = asyncio.Event()
        open_.set()
        async with (
            asyncio.timeout(PATIENCE),
            serving(handle, pki.server()) as port,
            relay(port, open_) as far,
            connect("127.0.0.1", far, context, "localhost") as stream,
        ):
            assert await stream.next() == FULL
            watch = asyncio.create_task(stream.watch())
            await until(lambda: all(answers.count(one) >= 3 for one in answers) and len(set(answers)) == 2)
            assert not watch.done()  # while pings are answered, silence is fine
            open_.clear()
            for one in set(answers):
                process(one)  # nothing that was sent before is waited for
                one._config = replace(one._config, _keepalive_timeout=0.2)
            with pytest.raises(StreamLost, match="does not answer"):
                await watch
            await until(lambda: lost == ["server"])

    asyncio.run(main())


# ---------------------------------------------------------------- the end of a session


async def silent(_stream: ServerSession) -> None:
    return None


async def talking(stream: ServerSession) -> None:
    await stream.send(Data(channel=STDIN, data=b"x"))


async def refusing(stream: ServerSession) -> None:
    await stream.send(Data(channel=STDIN, data=b"x"))
    raise StreamRefused("the controller ends")


async def killed(stream: ServerSession) -> None:
    await stream.send(Data(channel=STDIN, data=b"x"))
    transport._transport(stream._stream).abort()


@pytest.mark.parametrize(
    ("serve", "raised"), [(silent, None), (talking, None), (refusing, StreamRefused), (killed, StreamLost)]
)
def test_a_node_knows_how_a_session_ended_though_it_reads_nothing(
    pki: Pki, serve: Callable[[ServerSession], Awaitable[None]], raised: type[Exception] | None
) -> None:
    async def main() -> None:
        server = NodeStreamServer(nothing, serve)
        sock = listener()
        port: int = sock.getsockname()[1]
        await server.start(sock, pki.server())
        context = client_context(pki.node("node-1").path, pki.ca.bundle_pem)
        try:
            async with (
                asyncio.timeout(PATIENCE),
                connect_session("127.0.0.1", port, context, "localhost") as session,
            ):
                await session.over()
        finally:
            server.close()

    if raised is None:
        asyncio.run(main())
    else:
        with pytest.raises(raised):
            asyncio.run(main())
