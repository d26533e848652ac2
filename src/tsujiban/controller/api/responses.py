"""Answers: JSON in one piece, or in lines that never end, each with a bound on how slow the client may be."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tsujiban.controller.api.errors import ApiError, bad_request, too_large
from tsujiban.resources import json_reader

JSON = "application/json"
OBJECT_BYTES = 1_500_000
APPLY_BYTES = 8_000_000
GZIP_BYTES = 128 * 1024  # as Kubernetes: below that it costs more than it saves
BODY_SECONDS = 30.0
SEND_SECONDS = 30.0


def json_response(body: Any, status: int = 200) -> Response:
    """`body` as JSON; bytes are JSON already."""
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Response(data, status, media_type=JSON)


async def compressed(response: Response, request: Request) -> Response:
    """The answer in gzip, when it is big and the client takes that."""
    offered = request.headers.get("accept-encoding", "")
    encodings = {
        part.partition(";")[0].strip() for part in offered.split(",") if "q=0" not in part.split(";")[1:]
    }
    response.headers["vary"] = "Accept, Accept-Encoding"
    if len(response.body) < GZIP_BYTES or "gzip" not in encodings:
        return response
    data = await asyncio.to_thread(gzip.compress, response.body, 1, mtime=0)
    response.headers["content-encoding"] = "gzip"
    response.headers["content-length"] = str(len(data))
    response.body = data
    return response


def refusal(error: ApiError) -> Response:
    """The Status object of an error; Retry-After, too, when it is worth trying again."""
    response = json_response(error.status(), error.code)
    seconds = error.details.get("retryAfterSeconds")
    if seconds is not None:
        response.headers["retry-after"] = str(seconds)
    return response


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body.

    Raises:
        ApiError: it is longer than `limit` bytes, comes too slowly, or its client has left.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise too_large(limit)
    except TimeoutError:
        raise ApiError(408, "Timeout", f"the request body did not come within {BODY_SECONDS:g} s") from None
    except ClientDisconnect:  # nobody reads the answer; the audit log does
        raise bad_request("the client left before its request was whole") from None
    request.state.received = len(body)
    return bytes(body)


def received(request: Request) -> int:
    """How many bytes the body that was read of a request had."""
    return int(getattr(request.state, "received", 0))


def parse_json(body: bytes) -> Any:
    """Strict JSON: UTF-8, no duplicate keys, no NaN.

    Raises:
        ApiError: 400.
    """
    try:
        documents = json_reader.documents(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise bad_request(f"the body is not UTF-8 (byte {error.start})") from None
    except json_reader.NotJSON as error:
        raise bad_request(f"the body is not JSON: {error}") from None
    if len(documents) != 1:
        raise bad_request(f"the body holds {len(documents)} JSON documents, not one")
    return documents[0]


class Lines(Response):
    """A stream of chunks that ends when the source or the client does, or the client stops reading."""

    def __init__(self, source: AsyncIterator[bytes], media_type: str = JSON) -> None:
        super().__init__(media_type=media_type)
        del self.headers["content-length"]
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it (ASGI)."""
        leaving = asyncio.ensure_future(_gone(receive))
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as present:

                def left(_leaving: asyncio.Future[None]) -> None:
                    present.reschedule(0)  # which is over

                leaving.add_done_callback(left)
                try:
                    await self._send(send)
                finally:
                    leaving.remove_done_callback(left)
                    leaving.cancel()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with aclosing(self._source) as source:  # type: ignore[type-var]
                async for chunk in source:
                    async with asyncio.timeout(SEND_SECONDS):
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except TimeoutError:
            return  # the client reads no more; the unfinished body tells it so
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
