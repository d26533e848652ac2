from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest
from envoy.service.discovery.v3 import discovery_pb2
from grpclib.client import Channel
from grpclib.const import Cardinality
from grpclib.exceptions import GRPCError, StreamTerminatedError
from tests.support.wait import PATIENCE

from tsujiban.proxy.ads import AdsHandler
from tsujiban.proxy.guard import GuardedServer, bind_private, peer_credentials, unlink_stale

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"


def test_the_kernel_says_who_is_at_the_other_end() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert peer_credentials(one) == (os.getpid(), os.getuid())


def test_a_bound_socket_is_private(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with bind_private(str(path), os.getuid()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(OSError, match=r"use|exist"):
        bind_private(str(path), os.getuid())


async def talk(path: Path) -> bool:
    """Whether a gRPC stream gets any life out of the server."""
    async with Channel(path=str(path)) as channel:
        stream = channel.request(
            METHOD,
            Cardinality.STREAM_STREAM,
            discovery_pb2.DeltaDiscoveryRequest,
            discovery_pb2.DeltaDiscoveryResponse,
        )
        try:
            async with stream, asyncio.timeout(PATIENCE):
                await stream.send_message(discovery_pb2.DeltaDiscoveryRequest(), end=True)
                return await stream.recv_message() is None
        except (OSError, StreamTerminatedError, GRPCError):
            return False


@pytest.mark.parametrize("welcome", [True, False])
def test_only_who_is_let_in_is_answered(tmp_path: Path, welcome: bool) -> None:
    asked: list[tuple[int, int]] = []

    def authorize(pid: int, uid: int) -> bool:
        asked.append((pid, uid))
        return welcome

    async def main() -> bool:
        path = tmp_path / "s"
        server = GuardedServer([AdsHandler(lambda: None)], authorize)
        await server.start(sock=bind_private(str(path), os.getuid()))
        try:
            return await talk(path)
        finally:
            server.close()
            await server.wait_closed()

    assert asyncio.run(main()) is welcome
    assert asked == [(os.getpid(), os.getuid())]


@pytest.mark.parametrize("turns", range(8))
def test_who_comes_while_it_closes_is_cut_off_too(tmp_path: Path, turns: int) -> None:
    async def main() -> bytes:
        path = tmp_path / "s"
        server = GuardedServer([AdsHandler(lambda: None)], lambda _pid, _uid: True)
        await server.start(sock=bind_private(str(path), os.getuid()))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.setblocking(False)
            for _ in range(
                turns
            ):  # of the loop, which has accepted it after some, and told the protocol after more
                await asyncio.sleep(0)
            server.close()
            await server.wait_closed()
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(PATIENCE):
                try:
                    while said := await loop.sock_recv(client, 1024):
                        pass
                except ConnectionResetError:
                    return b""
                return said

    assert asyncio.run(main()) == b""


def test_a_stale_socket_is_removed_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    asyncio.run(unlink_stale(str(path)))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    with pytest.raises(OSError, match="is an agent running already"):
        asyncio.run(unlink_stale(str(path)))
    listener.close()
    asyncio.run(unlink_stale(str(path)))
    assert not path.exists()
