"""Our own client against our own server, over TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.apibed import TOKEN, ApiBed, api_bed
from tests.support.fakenode import FakeStream
from tests.unit.controller.api.test_portforward import upper
from tests.unit.controller.api.test_streams import CAT, EXEC, cat, make_pod

from tsujiban.local.client import ApiError
from tsujiban.local.kubeconfig import Access
from tsujiban.local.streams import V5, execute, exit_code, forward, websocket
from tsujiban.local.unreachable import Unreachable
from tsujiban.wire.messages import OpenSession

pytestmark = pytest.mark.anyio

FORWARD = "/api/v1/namespaces/default/pods/a/portforward"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[ApiBed]:
    async with api_bed(tmp_path / "bed") as found:
        await make_pod(found)
        yield found


def access(bed: ApiBed) -> Access:
    admin = bed.user()
    return Access(bed.url, bed.ca_file, admin.certificate.read_bytes(), admin.key.read_bytes())


async def said(*messages: bytes) -> AsyncIterator[bytes]:
    for message in messages:
        yield message
    await asyncio.Event().wait()


async def test_a_command(bed: ApiBed) -> None:
    bed.streaming.script = cat
    heard: list[tuple[int, bytes]] = []
    async with websocket(access(bed), EXEC, CAT, V5) as socket:
        given = said(b"\0hello", bytes([255, 0]))
        ended = await execute(socket, given, lambda channel, data: heard.append((channel, data)))
    assert heard == [(1, b"hello"), (2, b"HELLO")]
    assert ended == (3, "")


async def test_a_token_is_enough(bed: ApiBed) -> None:
    bed.streaming.script = cat
    async with websocket(Access(bed.url, bed.ca_file, token=TOKEN), EXEC, CAT, V5) as socket:
        await socket.send(bytes([255, 0]))
        assert (await execute(socket, None, lambda _channel, _data: None))[0] == 3


async def test_refusals_are_the_servers_words(bed: ApiBed) -> None:
    with pytest.raises(ApiError, match="not found") as refused:
        async with websocket(access(bed), EXEC.replace("/a/", "/b/"), CAT, V5):
            pass
    assert refused.value.http == 404
    with pytest.raises(ApiError) as nobody:
        async with websocket(Access(bed.url, bed.ca_file), EXEC, CAT, V5):
            pass
    assert nobody.value.http == 401


async def test_nobody_answers(bed: ApiBed) -> None:
    found = access(bed)
    for server in ("https://127.0.0.1:1", bed.url.replace("https", "http")):
        gone = Access(server, None if server.startswith("http:") else found.ca_file)
        with pytest.raises(Unreachable):
            async with websocket(gone, EXEC, CAT, V5):
                pass


async def test_a_connection_with_half_closed_ends(bed: ApiBed) -> None:
    bed.streaming.script = upper
    answer, problem = await through(bed, 80, b"hello")
    assert (answer, problem) == (b"HELLO", "")
    answer, problem = await through(bed, 1, b"hello")
    assert (answer, problem) == (b"", "connection refused")


async def through(bed: ApiBed, port: int, data: bytes) -> tuple[bytes, str]:
    problem: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        problem.set_result(await forward(access(bed), FORWARD, port, "", reader, writer))
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(data)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    server.close()
    return answer, await problem


async def test_a_node_that_is_lost(bed: ApiBed) -> None:
    async def lose(_message: OpenSession, stream: FakeStream) -> None:
        stream.lost.set()

    bed.streaming.script = lose
    async with websocket(access(bed), EXEC, CAT, V5) as socket:
        code, problem = await execute(socket, None, lambda _channel, _data: None)
    assert code == 1
    assert "lost" in problem


@pytest.mark.parametrize(
    ("status", "ended"),
    [
        (b'{"status":"Success"}', 0),
        (b'{"status":"Failure","details":{"causes":[{"reason":"ExitCode","message":"9"}]}}', 9),
        (b'{"status":"Failure","message":"no"}', 1),
        (b"", 1),
    ],
)
def test_exit_codes(status: bytes, ended: int) -> None:
    assert exit_code(status)[0] == ended
