"""A user who floods the API is served, and so is everybody else: over TLS, told by who is served when."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.apibed import ApiBed, api_bed
from tests.support.wait import PATIENCE, until

from tsujiban.controller.api import turns
from tsujiban.controller.api.fairqueue import Bounds
from tsujiban.store.protocol import Listing

pytestmark = pytest.mark.anyio

SEATS, WAITING, FLOOD = 4, 20, 40  # FLOOD requests on connections of their own


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiBed]:
    small = Bounds(seats=SEATS, of_flow=SEATS, waiting_of_flow=WAITING, waiting=100)
    monkeypatch.setattr(turns, "LEVELS", dict.fromkeys(turns.LEVELS, small))
    monkeypatch.setattr(turns, "WAIT_SECONDS", 300.0)
    async with api_bed(tmp_path / "bed") as found:
        yield found


class Held:
    """The store's lists of pods, each of which waits until the test lets it go."""

    def __init__(self, bed: ApiBed, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: list[str] = []  # namespaces, in the order in which their lists had their turn
        self._waiting: list[asyncio.Event] = []
        listed = bed.store.list

        async def held(group: str, resource: str, namespace: str | None = None, **more: Any) -> Listing:
            if resource == "pods" and namespace in ("flood", "quiet"):
                self.begun.append(namespace)
                self._waiting.append(event := asyncio.Event())
                await event.wait()
            return await listed(group, resource, namespace, **more)

        monkeypatch.setattr(bed.store, "list", held)

    async def let_one_go(self) -> None:
        """And wait until another has its turn, if any waits."""
        before = len(self.begun)
        self._waiting.pop(0).set()
        await until(lambda: len(self.begun) > before, PATIENCE)

    def let_all_go(self) -> None:
        """As many as there are now."""
        for event in self._waiting:
            event.set()


async def grants(bed: ApiBed) -> None:
    rule = {"apiGroups": ["", "coordination.k8s.io"], "resources": ["pods", "leases"], "verbs": ["*"]}
    for name in ("flood", "quiet"):
        await bed.grant(name, rule)


async def waiting(admin: httpx.AsyncClient) -> int:
    """How many wait, as the metrics say."""
    name = 'apiserver_flowcontrol_current_inqueue_requests{priority_level="workload"} '
    text = (await admin.get("/metrics")).text
    return next(int(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))


async def until_waiting(admin: httpx.AsyncClient, number: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if await waiting(admin) == number:
                return
            await asyncio.sleep(0.01)


async def test_a_flood_keeps_nobody_from_their_turn(bed: ApiBed, monkeypatch: pytest.MonkeyPatch) -> None:
    await grants(bed)
    held = Held(bed, monkeypatch)
    async with (
        bed.client(bed.user("flood", "staff")) as flood,
        bed.client(bed.user("quiet", "staff")) as quiet,
        bed.client(bed.node("one")) as node,
        bed.client(bed.user()) as admin,
    ):
        path = "/api/v1/namespaces/{}/pods"
        floods = [asyncio.create_task(flood.get(path.format("flood"))) for _ in range(FLOOD)]
        await until_waiting(admin, WAITING)  # an administrator is answered while every seat is taken
        overflow = FLOOD - WAITING - SEATS // 2  # a list takes two seats
        await until(lambda: sum(task.done() for task in floods) == overflow, PATIENCE)
        refused = [task.result() for task in floods if task.done()]
        assert {(one.status_code, one.headers["retry-after"]) for one in refused} == {(429, "1")}
        assert held.begun == ["flood"] * (SEATS // 2)

        quiets = [asyncio.create_task(quiet.get(path.format("quiet"))) for _ in range(3)]
        await until_waiting(admin, WAITING + 3)
        # neither nodes nor who proves to be alive waits behind work
        assert (await node.get("/api/v1/nodes/one")).status_code == 404
        lease = "/apis/coordination.k8s.io/v1/namespaces/default/leases/leader"
        assert (await quiet.get(lease)).status_code == 404

        for _ in range(6):
            await held.let_one_go()
        assert Counter(held.begun[-6:])["quiet"] == 3  # every other one, though 20 were there before
        assert held.begun[-6:][0] == "quiet"
        while not all(task.done() for task in (*floods, *quiets)):
            held.let_all_go()
            await asyncio.sleep(0.01)
        assert [task.result().status_code for task in quiets] == [200] * 3
        assert Counter(task.result().status_code for task in floods) == {200: FLOOD - overflow, 429: overflow}
        assert await waiting(admin) == 0
