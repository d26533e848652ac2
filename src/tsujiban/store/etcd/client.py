"""Calls to an etcd cluster over gRPC, to whichever member answers.

What is asked of a member that is dead, cut off or without a leader is asked of the next one. A write is
sent again only when it is certain that it was not done; when that is not known, `Unsure` says so, and the
engine, which can look, decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from grpclib.client import Channel
from grpclib.config import Configuration
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from tsujiban.store.etcd import messages
from tsujiban.store.protocol import InvalidTransaction, StoreUnavailable
from tsujiban.waiting import apart

CALL_SECONDS = 15.0  # how long to look for a member that answers
ATTEMPT_SECONDS = 3.0  # how long to wait for one of them
CONNECT_SECONDS = 1.5
PAUSE_SECONDS = 0.1  # after all members were tried
PING_SECONDS = 3.0  # a watch's member that does not answer a ping for so long is given up

_METADATA = {"hasleader": "true"}  # a member without a leader refuses at once, instead of being waited for
_LOST = (OSError, ProtocolError, StreamTerminatedError, TimeoutError)
_NO_LEADER = "etcdserver: no leader"
_AGAIN = frozenset({Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED, Status.CANCELLED, Status.UNKNOWN})


class Endpoint(msgspec.Struct, frozen=True):
    """Where a member serves its clients."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Unsure(Exception):
    """A write may have been done, or may still be done by its member."""


class Gone(Exception):
    """Etcd has forgotten that revision, or does not know it yet."""


class EtcdClient:
    """One cluster. `context` proves who we are, and checks who they are; None for a cluster without TLS."""

    def __init__(self, endpoints: Sequence[Endpoint], context: ssl.SSLContext | None) -> None:
        self._endpoints = tuple(endpoints)
        self._context = context
        self._channels = [self._channel(endpoint) for endpoint in endpoints]
        self._current = 0
        self._why = ""

    def close(self) -> None:
        """End all connections."""
        for channel in self._channels:
            channel.close()

    async def range(self, **fields: Any) -> Any:
        """Range; see RangeRequest. Raises Gone, StoreUnavailable."""
        request = messages.RangeRequest(**fields)
        return await self._read("KV/Range", request, messages.RangeResponse)

    async def look(self, requests: Sequence[Any]) -> Any:
        """Several Ranges at one revision. Raises StoreUnavailable."""
        operations = [messages.RequestOp(request_range=request) for request in requests]
        return await self._read("KV/Txn", messages.TxnRequest(success=operations), messages.TxnResponse)

    async def write(self, request: Any, seconds: float) -> Any:
        """Txn. Raises Unsure, InvalidTransaction, StoreUnavailable (it was not done)."""
        deadline = asyncio.get_running_loop().time() + seconds
        return await self._call("KV/Txn", request, messages.TxnResponse, deadline, again=False)

    async def compact(self, revision: int) -> None:
        """Compact. Raises Gone when that has been done before, StoreUnavailable."""
        request = messages.CompactionRequest(revision=revision)
        await self._read("KV/Compact", request, messages.CompactionResponse)

    async def members(self) -> list[tuple[Endpoint, Any]]:
        """Each endpoint's StatusResponse, or a text that says why there is none."""
        return list(
            zip(self._endpoints, await asyncio.gather(*map(self._status, self._channels)), strict=True)
        )

    @asynccontextmanager
    async def watch(self, **fields: Any) -> AsyncIterator[AsyncIterator[Any]]:
        """The WatchResponses of one watch, on a connection of its own; see WatchCreateRequest.
        Raises Gone, StoreUnavailable (try again: the next member will be asked)."""
        turn = self._current
        channel = self._channel(self._endpoints[turn])
        responses = self._responses(channel, messages.WatchRequest(create_request=fields))
        try:
            yield responses
        except GRPCError as error:
            self._next(turn, error.message or error.status.name)
            raise StoreUnavailable(self._why) from error
        except _LOST as error:
            self._next(turn, _text(error))
            raise StoreUnavailable(self._why) from error
        finally:
            channel.close()
            with contextlib.suppress(GRPCError, *_LOST):  # the call's end, said to a closed connection
                await responses.aclose()

    # ------------------------------------------------------------ within

    def _channel(self, endpoint: Endpoint) -> Channel:
        configuration = Configuration(
            _keepalive_time=PING_SECONDS,
            _keepalive_timeout=PING_SECONDS,
            _keepalive_permit_without_calls=False,
            _http2_max_pings_without_data=0,
            _http2_min_sent_ping_interval_without_data=PING_SECONDS / 2,
        )
        return Channel(endpoint.host, endpoint.port, ssl=self._context, config=configuration)

    async def _responses(self, channel: Channel, request: Any) -> Any:
        async with asyncio.timeout(CONNECT_SECONDS):
            await channel.__connect__()
        call = channel.request(
            "/etcdserverpb.Watch/Watch",
            Cardinality.STREAM_STREAM,
            messages.WatchRequest,
            messages.WatchResponse,
            metadata=_METADATA,
        )
        async with call as stream:
            await apart(stream.send_message(request))
            while (response := await apart(stream.recv_message())) is not None:
                if response.compact_revision:
                    raise Gone
                if response.canceled:
                    raise ConnectionError(response.cancel_reason or "the watch was cancelled")
                yield response
        raise ConnectionError("the member ended the watch")

    async def _read(self, method: str, request: Any, reply: Any) -> Any:
        deadline = asyncio.get_running_loop().time() + CALL_SECONDS
        return await self._call(method, request, reply, deadline, again=True)

    async def _call(self, method: str, request: Any, reply: Any, deadline: float, *, again: bool) -> Any:
        loop = asyncio.get_running_loop()
        tried = 0
        while True:
            turn = self._current
            channel = self._channels[turn]
            sent = False
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await _connect(channel)
                sent = True
                return await apart(self._once(channel, method, request, reply))
            except GRPCError as error:
                why = error.message or error.status.name
                _refuse(error, why)
                sent = sent and why != _NO_LEADER
            except _LOST as error:
                why = _text(error)
            self._next(turn, why)
            if sent and not again:
                raise Unsure(self._why)
            tried += 1
            if loop.time() >= deadline:
                raise StoreUnavailable(self._why)
            if tried % len(self._channels) == 0:
                await asyncio.sleep(PAUSE_SECONDS)

    async def _once(self, channel: Channel, method: str, request: Any, reply: Any) -> Any:
        path = f"/etcdserverpb.{method}"
        call = channel.request(
            path, Cardinality.UNARY_UNARY, type(request), reply, timeout=ATTEMPT_SECONDS, metadata=_METADATA
        )
        async with call as stream:
            await stream.send_message(request, end=True)
            response = await stream.recv_message()
        if response is None:
            raise ConnectionError("the member gave no answer")
        return response

    async def _status(self, channel: Channel) -> Any:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await _connect(channel)
                request, reply = messages.StatusRequest(), messages.StatusResponse
                return await apart(self._once(channel, "Maintenance/Status", request, reply))
        except GRPCError as error:
            return error.message or error.status.name
        except _LOST as error:
            return _text(error)

    def _next(self, turn: int, why: str) -> None:
        """Ask the next member from now on, unless another call has found that out already."""
        self._why = f"etcd at {self._endpoints[turn]} does not serve: {why}"
        if self._current == turn:
            self._current = (turn + 1) % len(self._endpoints)


def _refuse(error: GRPCError, why: str) -> None:
    """Raise what is no fault of the member's, and would be the same with every other."""
    if error.status is Status.OUT_OF_RANGE:
        raise Gone from error
    if error.status is Status.INVALID_ARGUMENT or "larger than max" in why:
        raise InvalidTransaction(
            f"etcd refuses this as one transaction ({why}): do less at a time,"
            " or start etcd with larger --max-txn-ops and --max-request-bytes"
        ) from error
    if error.status is Status.RESOURCE_EXHAUSTED and "space" in why:
        raise StoreUnavailable(
            f"etcd is full ({why}): compact and defragment it, raise --quota-backend-bytes,"
            " then `etcdctl alarm disarm`"
        ) from error
    if error.status not in _AGAIN and error.status is not Status.RESOURCE_EXHAUSTED:
        raise StoreUnavailable(f"etcd refuses: {why} ({error.status.name})") from error


async def _connect(channel: Channel) -> None:
    """Connect, also when the connection has been given up for an unanswered ping: until TLS has taken leave
    of a member that may be cut off, for half a minute, grpclib takes it for a good one, and a call on it
    fails with an AttributeError. Raises OSError."""
    protocol = await channel.__connect__()
    if protocol.processor.connection.is_closing():
        channel.close()  # what else waits on it is told
        await channel.__connect__()


def _text(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
