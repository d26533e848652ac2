"""The mark is written once for all that was given up before, and again until it is there."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from tests.support.wait import until

from tsujiban.store.etcd import layout, messages
from tsujiban.store.etcd.client import EtcdClient, Unsure
from tsujiban.store.etcd.fence import MARK_ATTEMPTS, Fence, mark
from tsujiban.store.protocol import StoreUnavailable

pytestmark = pytest.mark.anyio

PREFIX = b"/tsujiban/c/"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Member:
    """Writes, or gives no answer as often as `silent` says."""

    def __init__(self) -> None:
        self.revision = 10
        self.silent = 0
        self.written: list[bytes] = []
        self.may = asyncio.Event()
        self.may.set()

    async def write(self, request: Any, _seconds: float) -> Any:
        (operation,) = request.success
        self.written.append(operation.request_put.key)
        await self.may.wait()
        if self.silent:
            self.silent -= 1
            raise Unsure("no answer in time")
        self.revision += 1
        return messages.TxnResponse(header={"revision": self.revision}, succeeded=True)


@pytest.fixture
def member() -> Member:
    return Member()


@pytest.fixture
def client(member: Member) -> EtcdClient:
    return cast(EtcdClient, member)


async def test_the_mark_is_written_until_that_is_certain(member: Member, client: EtcdClient) -> None:
    member.silent = MARK_ATTEMPTS - 1
    assert await mark(client, PREFIX) == 11
    assert member.written == [layout.mark(PREFIX)] * MARK_ATTEMPTS
    member.silent = MARK_ATTEMPTS
    with pytest.raises(StoreUnavailable, match="no answer"):
        await mark(client, PREFIX)


async def test_it_is_written_only_when_something_was_given_up(member: Member, client: EtcdClient) -> None:
    fence = Fence(client, PREFIX, 5)
    await fence.tighten()
    assert (fence.at, member.written) == (5, [])
    fence.loosen()
    await asyncio.gather(*(fence.tighten() for _ in range(3)))
    assert (fence.at, len(member.written)) == (11, 1)


async def test_what_is_given_up_while_it_is_written_has_it_written_again(
    member: Member, client: EtcdClient
) -> None:
    fence = Fence(client, PREFIX, 5)
    fence.loosen()
    member.may.clear()
    first = asyncio.create_task(fence.tighten())
    await until(lambda: len(member.written) == 1)
    fence.loosen()
    second = asyncio.create_task(fence.tighten())
    member.may.set()
    await asyncio.gather(first, second)
    assert (fence.at, len(member.written)) == (12, 2)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_what_could_not_be_written_is_still_to_be(
    member: Member, client: EtcdClient, cancelled: bool
) -> None:
    fence = Fence(client, PREFIX, 5)
    fence.loosen()
    if cancelled:
        member.may.clear()
        task = asyncio.create_task(fence.tighten())
        await until(lambda: len(member.written) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        member.may.set()
    else:
        member.silent = MARK_ATTEMPTS
        with pytest.raises(StoreUnavailable):
            await fence.tighten()
    await fence.tighten()
    assert fence.at == 11
