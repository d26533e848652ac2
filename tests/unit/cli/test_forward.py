from __future__ import annotations

import asyncio
import socket

import pytest

from tsujiban.cli.errors import Failure
from tsujiban.cli.forward import Forward, parse, serve


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


def test_bytes_pass_both_ways_and_the_end_is_passed_on() -> None:
    async def scenario() -> bytes:
        async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write((await reader.read()).upper())
            await writer.drain()
            writer.close()

        far = await asyncio.start_server(shout, "127.0.0.1", 0)
        address = far.sockets[0].getsockname()
        near = socket.create_server(("127.0.0.1", 0))
        port = near.getsockname()[1]
        serving = asyncio.create_task(serve([(near, lambda: socket.create_connection(address))]))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello")
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        far.close()
        return answer

    assert asyncio.run(asyncio.wait_for(scenario(), 10)) == b"HELLO"
