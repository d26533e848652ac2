"""What grpclib does not tell of its connections, and how it tells of errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from grpclib.const import Cardinality, Handler
from grpclib.server import Server

from tsujiban.store.etcd import client as asking
from tsujiban.store.etcd import messages
from tsujiban.store.etcd.client import Endpoint, EtcdClient
from tsujiban.store.protocol import StoreUnavailable

pytestmark = pytest.mark.anyio


class Member:
    """Answers every Range and Status, or stands still."""

    def __init__(self) -> None:
        self.stands_still = False
        self.asked = asyncio.Event()

    def __mapping__(self) -> dict[str, Handler]:
        """For grpclib."""
        return {
            f"/etcdserverpb.{method}": Handler(self._serve(reply), Cardinality.UNARY_UNARY, request, reply)
            for method, request, reply in (
                ("KV/Range", messages.RangeRequest, messages.RangeResponse),
                ("Maintenance/Status", messages.StatusRequest, messages.StatusResponse),
            )
        }

    def _serve(self, reply: Any) -> Any:
        async def answer(stream: Any) -> None:
            await stream.recv_message()
            self.asked.set()
            if self.stands_still:
                await asyncio.Event().wait()
            await stream.send_message(reply())

        return answer


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def member() -> Member:
    return Member()


@pytest.fixture
async def client(member: Member) -> AsyncIterator[EtcdClient]:
    server = Server([member])
    await server.start("127.0.0.1", 0)
    assert server._server is not None
    port = server._server.sockets[0].getsockname()[1]
    made = EtcdClient([Endpoint("127.0.0.1", port)], None)
    yield made
    made.close()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("ask", ["range", "members"])
async def test_a_connection_that_was_given_up_a_moment_ago_is_made_anew(client: EtcdClient, ask: str) -> None:
    await client.range(key=b"a")
    before = client._channels[0]._protocol
    # as grpclib does when a ping was not answered in time; with TLS the loop hears of it much later
    transport = before.processor.connection.__dict__.pop("_transport")
    if ask == "range":
        assert isinstance(await client.range(key=b"a"), messages.RangeResponse)
    else:
        ((_, status),) = await client.members()
        assert isinstance(status, messages.StatusResponse)
    assert client._channels[0]._protocol is not before
    transport.close()


async def test_who_asks_for_a_time_is_told_that_it_is_over(
    client: EtcdClient, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when members were given up meanwhile: a leader whose renewal is told otherwise does not end."""
    monkeypatch.setattr(asking, "ATTEMPT_SECONDS", 0.05)
    member.stands_still = True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await client.range(key=b"a")
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    monkeypatch.setattr(asking, "CALL_SECONDS", 0.2)
    with pytest.raises(StoreUnavailable, match="no answer in time"):
        await client.range(key=b"a")
    assert task.cancelling() == 0


@pytest.mark.parametrize("turns", range(4))
async def test_who_is_cancelled_while_the_connection_is_lost_is_cancelled(
    client: EtcdClient, member: Member, turns: int
) -> None:
    member.stands_still = True
    task = asyncio.create_task(client.range(key=b"a"))
    await member.asked.wait()
    client._channels[0].close()  # as when it is lost
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
