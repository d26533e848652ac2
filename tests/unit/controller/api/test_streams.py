from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from tests.support.apibed import ApiBed, Credentials, api_bed
from tests.support.fakenode import FakeStream
from tests.support.spdyclient import control, data
from tests.support.upgrades import Refused, spdy, upgraded, websocket
from tests.support.wait import until

from tsujiban.wire.messages import OpenSession
from tsujiban.wire.sessions import (
    STDERR,
    STDIN,
    STDOUT,
    AttachAsk,
    Begin,
    Data,
    End,
    ExecAsk,
    Exit,
    LogAsk,
    Resize,
)
from tsujiban.wire.spdy import RST_STREAM

pytestmark = pytest.mark.anyio

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
EXEC = "/api/v1/namespaces/default/pods/a/exec"
ATTACH = "/api/v1/namespaces/default/pods/a/attach"
CAT = [("command", "cat"), ("stdin", "true"), ("stdout", "true"), ("stderr", "true")]
WORD = [("command", "true"), ("stdout", "true")]


async def cat(_message: OpenSession, stream: FakeStream) -> None:
    """Gives back on both channels what it gets, the sizes too, until its input ends."""
    while not isinstance(frame := await stream.next(), End):
        if isinstance(frame, Resize):
            await stream.tell(Data(channel=STDOUT, data=f"{frame.columns}x{frame.rows}".encode()))
        else:
            await stream.tell(Data(channel=STDOUT, data=frame.data))
            await stream.tell(Data(channel=STDERR, data=frame.data.upper()))
    await stream.tell(Exit(code=3))


async def make_pod(bed: ApiBed, node: str = "n1", phase: str = "Running", **container: object) -> None:
    containers = [{"name": "web", "image": "host", **container}]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a"},
        "spec": {"containers": containers, "nodeName": node},
    }
    async with bed.client(bed.user("maker")) as admin:
        answer = await admin.post("/api/v1/namespaces/default/pods", json=pod)
        assert answer.status_code == 201, answer.text
        put = {**answer.json(), "status": {"phase": phase}}
        answer = await admin.put("/api/v1/namespaces/default/pods/a/status", json=put)
        assert answer.status_code == 200, answer.text


@pytest.fixture
async def who(bed: ApiBed) -> Credentials:
    await make_pod(bed)
    bed.streaming.script = cat
    return bed.user()


async def test_exec_over_a_websocket(bed: ApiBed, who: Credentials) -> None:
    async with websocket(bed, who, EXEC, CAT, V5, V4) as client:
        assert client.protocol == V5
        await client.send(b"\4" + json.dumps({"Width": 80, "Height": 24}).encode())
        assert await client.receive() == b"\x0180x24"
        await client.send(b"\0hello")
        assert await client.receive() == b"\1hello"
        assert await client.receive() == b"\2HELLO"
        await client.send(bytes([255, 0]))
        rest = await client.rest()
    status = json.loads(rest[3])
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    (asked,) = bed.streaming.asked
    assert asked.pod == "default/a"
    assert asked.ask == ExecAsk(container="web", command=("cat",), stdin=True)


async def test_v4_has_no_way_to_close_the_input(bed: ApiBed, who: Credentials) -> None:
    async with websocket(bed, who, EXEC, CAT, V4) as client:
        assert client.protocol == V4
        await client.send(bytes([255, 0]))
        await client.send(b"\0on")
        assert await client.receive() == b"\1on"


async def test_exec_over_spdy(bed: ApiBed, who: Credentials) -> None:
    async with spdy(bed, who, EXEC, CAT, V4) as client:
        streams = {
            kind: await client.open(streamtype=kind) for kind in ("error", "stdin", "stdout", "stderr")
        }
        await client.send(data(streams["stdin"], b"hello") + data(streams["stdin"], b"", end=True))
        await client.until_ended(streams["error"], streams["stdout"], streams["stderr"])
        received = client.spdy.received
    assert received[streams["stdout"]] == b"hello"
    assert received[streams["stderr"]] == b"HELLO"
    assert json.loads(received[streams["error"]])["details"]["causes"][0]["message"] == "3"


async def test_a_terminal_over_spdy_has_sizes_in_pieces_and_no_stderr(bed: ApiBed, who: Credentials) -> None:
    async with spdy(bed, who, EXEC, [*CAT, ("tty", "true")], V4) as client:
        streams = {
            kind: await client.open(streamtype=kind) for kind in ("error", "stdin", "stdout", "resize")
        }
        sizes = b'{"Width":80,"Height":24}\n{"Width":9,"Height":8}\n'
        for start in range(0, len(sizes), 10):
            await client.send(data(streams["resize"], sizes[start : start + 10]))
        await client.send(data(streams["stdin"], b"hi", end=True))
        await client.until_ended(streams["error"])
        assert client.spdy.received[streams["stdout"]] == b"80x249x8hi"


async def test_a_client_that_leaves_ends_the_command(bed: ApiBed, who: Credentials) -> None:
    async with websocket(bed, who, EXEC, CAT, V5) as client:
        await client.send(b"\0x")
        assert await client.receive() == b"\1x"
        assert bed.streaming.over == []
    await until(lambda: bed.streaming.over == ["default/a"])


@pytest.mark.parametrize("kind", ["nonsense", "resize"])
async def test_a_spdy_client_that_opens_what_was_not_agreed_is_hung_up_on(
    bed: ApiBed, who: Credentials, kind: str
) -> None:
    async with spdy(bed, who, EXEC, CAT, V4) as client:
        await client.open(streamtype=kind)
        while await client.read():
            pass
    await until(lambda: bed.streaming.over == ["default/a"])


async def test_a_reset_input_is_an_ended_one(bed: ApiBed, who: Credentials) -> None:
    async with spdy(bed, who, EXEC, CAT, V4) as client:
        streams = {
            kind: await client.open(streamtype=kind) for kind in ("error", "stdin", "stdout", "stderr")
        }
        await client.send(control(RST_STREAM, streams["stdin"].to_bytes(4, "big") + b"\0\0\0\5"))
        await client.until_ended(streams["error"])


async def test_a_node_that_is_lost_is_told_as_the_end(bed: ApiBed, who: Credentials) -> None:
    async def lose(_message: OpenSession, stream: FakeStream) -> None:
        await stream.tell(Data(channel=STDOUT, data=b"so far"))
        stream.lost.set()

    bed.streaming.script = lose
    async with websocket(bed, who, EXEC, CAT, V5) as client:
        rest = await client.rest()
    assert json.loads(rest[3])["reason"] == "InternalError"


async def test_only_channels_that_were_asked_for_are_told(bed: ApiBed, who: Credentials) -> None:
    async def both(_message: OpenSession, stream: FakeStream) -> None:
        for channel in (STDIN, STDOUT, STDERR, 3, 77):
            await stream.tell(Data(channel=channel, data=b"{}"))
        await stream.tell(Exit())

    bed.streaming.script = both
    async with websocket(bed, who, EXEC, WORD, V5) as client:
        assert await client.rest() == {STDOUT: b"{}", 3: b'{"metadata":{},"status":"Success"}'}


async def test_much_output_waits_for_a_client_that_does_not_read(bed: ApiBed, who: Credentials) -> None:
    told = 0

    async def flood(_message: OpenSession, stream: FakeStream) -> None:
        nonlocal told
        while True:
            await stream.tell(Data(channel=STDOUT, data=bytes(32768)))
            told += 1

    bed.streaming.script = flood
    async with websocket(bed, who, EXEC, WORD, V5):
        before = -1
        while told != before:  # until nothing moves any more
            before = told
            await asyncio.sleep(0.5)
    assert told * 32768 < 32 * 1024 * 1024


async def test_attach_follows_what_is_said_from_now_on(bed: ApiBed, who: Credentials) -> None:
    async def say(_message: OpenSession, stream: FakeStream) -> None:
        await stream.tell(Data(channel=STDOUT, data=b"line\n"))
        await stream.tell(Exit())

    bed.streaming.script = say
    async with websocket(bed, who, ATTACH, [("stdout", "true")], V5) as client:
        rest = await client.rest()
    assert rest[STDOUT] == b"line\n"
    assert bed.streaming.asked[0].ask == LogAsk(container="web", follow=True, tail_lines=0)
    with pytest.raises(Refused, match="no standard input"):
        async with websocket(bed, who, ATTACH, CAT, V5):
            pass


@pytest.mark.parametrize(
    ("container", "stdin"), [({"stdin": True}, True), ({"stdin": True}, False), ({"tty": True}, False)]
)
async def test_attach_joins_what_the_container_was_made_with(
    bed: ApiBed, container: dict[str, Any], stdin: bool
) -> None:
    await make_pod(bed, **container)
    bed.streaming.script = cat
    async with websocket(bed, bed.user(), ATTACH, CAT[1:] if stdin else [("stdout", "true")], V5) as client:
        await client.send(b"\0hello")
        assert await client.receive() == b"\1hello"
    assert bed.streaming.asked[0].ask == AttachAsk(container="web", stdin=stdin)


async def test_a_client_that_leaves_is_known_from_a_server_that_ends(tmp_path: Path) -> None:
    async with api_bed(tmp_path / "bed") as bed:
        await make_pod(bed)
        bed.streaming.script = cat
        async with websocket(bed, bed.user(), EXEC, CAT, V5):
            pass
        await until(lambda: bool(bed.streaming.over))
        assert bed.streaming.refused == []
        reader, writer = await asyncio.open_connection("127.0.0.1", bed.port, ssl=bed.tls(bed.user()))
        lines = [
            f"GET {EXEC}?{urlencode(CAT)} HTTP/1.1",
            "Host: t",
            "Connection: Upgrade",
            "Upgrade: SPDY/3.1",
        ]
        writer.write("\r\n".join([*lines, f"X-Stream-Protocol-Version: {V4}", "", ""]).encode())
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await until(lambda: len(bed.streaming.over) == 2)
    assert bed.streaming.refused == ["the controller ends"]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ([("stdout", "true")], "at least one command"),
        ([("command", "x")], "one of stdin"),
        ([("command", "a\0b"), ("stdout", "true")], "NUL"),
        ([("command", "x" * 300_000), ("stdout", "true")], None),
        ([("command", "x"), ("stdout", "maybe")], "true or false"),
        ([*WORD, ("container", "nope")], "choose one of: \\[web\\]"),
    ],
)
async def test_what_cannot_be_is_refused_before_anything_happens(
    bed: ApiBed, who: Credentials, parameters: list[tuple[str, str]], said: str | None
) -> None:
    with pytest.raises(Refused, match=said or "too long") as refused:
        async with websocket(bed, who, EXEC, parameters, V5):
            pass
    assert refused.value.code in (400, 431)
    assert bed.streaming.asked == []


async def test_unknown_protocols_are_refused_with_what_is_served(bed: ApiBed, who: Credentials) -> None:
    with pytest.raises(Refused, match=f"{V5}, {V4}"):
        async with websocket(bed, who, EXEC, WORD, "v9.channel.k8s.io"):
            pass
    with pytest.raises(Refused, match=r"SPDY/3\.1"):
        async with upgraded(bed, who, EXEC, WORD, {"Upgrade": "h2c"}):
            pass
    headers = {"Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": V5}
    with pytest.raises(Refused, match="Key"):
        async with upgraded(bed, who, EXEC, WORD, headers):
            pass
    async with bed.client(who) as client:
        answer = await client.get(EXEC, params=dict(WORD))
        assert answer.status_code == 400
        assert "upgraded" in answer.json()["message"]


async def test_a_node_that_is_away_or_says_no(bed: ApiBed, who: Credentials) -> None:
    bed.streaming.begin = lambda message: Begin(session=message.session, error="it is starting")
    with pytest.raises(Refused, match="it is starting") as starting:
        async with websocket(bed, who, EXEC, WORD, V5):
            pass
    assert starting.value.code == 503
    bed.streaming.begin = lambda message: Begin(session=message.session, error="no such pod", missing=True)
    with pytest.raises(Refused) as missing:
        async with websocket(bed, who, EXEC, WORD, V5):
            pass
    assert missing.value.code == 400
    bed.streaming.connected = False
    with pytest.raises(Refused, match="not connected") as away:
        async with websocket(bed, who, EXEC, WORD, V5):
            pass
    assert (away.value.code, away.value.status["details"]) == (503, {"retryAfterSeconds": 1})
    assert starting.value.status.get("details") is None
    async with bed.client(who) as client:
        answer = await client.get("/api/v1/namespaces/default/pods/a/log", params={"container": "web"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_exec_needs_create_and_not_only_get(bed: ApiBed, who: Credentials) -> None:
    reader = bed.user("reader", "readers")
    await bed.grant("reader", role="view")
    async with bed.client(reader) as client:
        assert (await client.get("/api/v1/namespaces/default/pods/a")).status_code == 200
    with pytest.raises(Refused) as refused:
        async with websocket(bed, reader, EXEC, WORD, V5):
            pass
    assert refused.value.code == 403
    assert "create" in refused.value.status["message"]
    with pytest.raises(Refused):
        async with spdy(bed, None, EXEC, WORD, V4):
            pass
    assert bed.streaming.asked == []


async def test_a_pod_that_has_ended_or_has_no_node(bed: ApiBed) -> None:
    await make_pod(bed, phase="Succeeded")
    with pytest.raises(Refused, match="has ended"):
        async with websocket(bed, bed.user(), EXEC, WORD, V5):
            pass


async def test_the_next_request_after_a_refused_upgrade_is_not_read(
    bed: ApiBed, who: Credentials, admin: httpx.AsyncClient
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", bed.port, ssl=bed.tls(who))
    smuggled = b"DELETE /api/v1/namespaces/default/pods/a HTTP/1.1\r\nHost: t\r\n\r\n"
    writer.write(
        b"GET /version HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + smuggled
    )
    answer = await reader.read()
    assert answer.count(b"HTTP/1.1 ") == 1
    writer.close()
    assert (await admin.get("/api/v1/namespaces/default/pods/a")).status_code == 200
