"""What grpclib does not tell of its connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from grpclib.const import Cardinality, Handler
from grpclib.server import Server

from tsujiban.store.etcd import messages
from tsujiban.store.etcd.client import Endpoint, EtcdClient

pytestmark = pytest.mark.anyio


class Member:
    """Answers every Range and Status."""

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
            await stream.send_message(reply())

        return answer


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def client() -> AsyncIterator[EtcdClient]:
    server = Server([Member()])
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
