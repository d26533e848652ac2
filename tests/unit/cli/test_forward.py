from __future__ import annotations

import asyncio
import socket

import pytest
from tests.support.wait import PATIENCE

from tsujiban.cli.errors import Failure
from tsujiban.cli.forward import Forward, parse, serve
from tsujiban.local.unreachable import Unreachable


@pytest.mark.parametrize(
    ("text", "forward"),
    [
        ("8080", Forward(8080, "", 8080)),
        ("8080:80", Forward(8080, "", 80)),
        (":80", Forward(0, "", 80)),
        ("8080:customer:80", Forward(8080, "customer", 80)),
        (":customer.shop:80", Forward(0, "customer.shop", 80)),
    ],
)
def test_parse(text: str, forward: Forward) -> None:
    assert parse(text) == forward


@pytest.mark.parametrize("text", ["", "a", "8080:", "8080:x", "1:2:3:4", "70000:80", "80:70000", "-1:80"])
def test_what_is_no_forward_is_refused(text: str) -> None:
    with pytest.raises(Failure, match="is not LOCAL"):
        parse(text)


def test_each_connection_is_joined_and_what_goes_wrong_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        data = await reader.read()
        if not data:
            raise Unreachable("nobody there")
        writer.write(data.upper())
        await writer.drain()
        return "and then it broke"

    async def ask(port: int, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer

    async def scenario() -> list[bytes]:
        near = socket.create_server(("127.0.0.1", 0))
        port = near.getsockname()[1]
        serving = asyncio.create_task(serve([(near, shout)]))
        answers = [await ask(port, b"hello"), await ask(port, b"")]
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        return answers

    assert asyncio.run(asyncio.wait_for(scenario(), PATIENCE)) == [b"HELLO", b""]
    said = capsys.readouterr().err
    assert "cannot connect: and then it broke" in said
    assert "cannot connect: nobody there" in said
