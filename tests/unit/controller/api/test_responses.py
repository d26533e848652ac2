from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message
from tests.support.wait import PATIENCE

from tsujiban.controller.api import responses
from tsujiban.controller.api.errors import ApiError
from tsujiban.controller.api.responses import Lines, parse_json, read_body

pytestmark = pytest.mark.anyio


def request(*chunks: bytes, length: str = "", stall: bool = False) -> Request:
    left = list(chunks)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left) or stall}

    headers = [(b"content-length", length.encode())] if length else []
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)


async def test_read_body() -> None:
    assert await read_body(request(b"ab", b"cd"), 4) == b"abcd"
    for refused in (request(b"ab", b"cde"), request(b"", length="5")):
        with pytest.raises(ApiError) as error:
            await read_body(refused, 4)
        assert error.value.code == 413


async def test_a_body_must_come_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "BODY_SECONDS", 0.05)
    with pytest.raises(ApiError) as error:
        await read_body(request(b"a", stall=True), 4)
    assert error.value.code == 408


async def test_a_client_may_leave_in_the_middle() -> None:
    messages: list[Message] = [
        {"type": "http.request", "body": b"a", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    half = Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)
    with pytest.raises(ApiError) as error:
        await read_body(half, 4)
    assert (error.value.code, "left" in error.value.message) == (400, True)


@pytest.mark.parametrize(
    "body", [b"", b"x", b"{}{}", b"\xff", b'{"a":1,"a":1}', b"1e999", b'"\\ud800"', b"[" * 9999]
)
def test_parse_json_is_strict(body: bytes) -> None:
    with pytest.raises(ApiError) as error:
        parse_json(body)
    assert error.value.code == 400


class Sink:
    """An ASGI client."""

    def __init__(self, *, stalls: bool = False, leaves: bool = False) -> None:
        self.sent: list[Message] = []
        self._stalls = stalls
        self._leaves = leaves

    async def send(self, message: Message) -> None:
        if self._stalls and self.sent:
            await asyncio.Event().wait()
        self.sent.append(message)

    async def receive(self) -> Message:
        if not self._leaves:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def take(self, response: Lines) -> None:
        async with asyncio.timeout(PATIENCE):
            await response({"type": "http"}, self.receive, self.send)


class Source:
    """Chunks, and whether their end was cleaned up."""

    def __init__(self, *chunks: bytes, endless: bool = False) -> None:
        self._chunks = chunks
        self._endless = endless
        self.closed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            for chunk in self._chunks:
                yield chunk
            if self._endless:
                await asyncio.Event().wait()
        finally:
            self.closed = True


async def test_lines_end_with_their_source() -> None:
    sink, source = Sink(), Source(b"a", b"b")
    await sink.take(Lines(source.chunks()))
    assert [message.get("body") for message in sink.sent] == [None, b"a", b"b", b""]
    assert not any(name == b"content-length" for name, _ in sink.sent[0]["headers"])


async def test_lines_end_when_the_client_leaves() -> None:
    sink, source = Sink(leaves=True), Source(b"a", endless=True)
    await sink.take(Lines(source.chunks()))
    assert source.closed or not sink.sent  # it may leave before anything was asked of the source


async def test_lines_end_when_the_client_reads_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "SEND_SECONDS", 0.05)
    sink, source = Sink(stalls=True), Source(b"a", endless=True)
    await sink.take(Lines(source.chunks()))
    assert source.closed
    assert not any(message.get("more_body") is False for message in sink.sent)


async def test_an_error_of_the_source_is_raised() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await Sink().take(Lines(broken()))


def test_json_response() -> None:
    body: Any = {"a": 1}
    assert responses.json_response(body, 201).body == b'{"a":1}'
    assert responses.json_response(b"{}").body == b"{}"
    assert responses.refusal(ApiError(404, "NotFound", "x")).status_code == 404
