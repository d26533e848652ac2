from __future__ import annotations

import asyncio

import pytest

from tsujiban.controller.api import turns
from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.errors import ApiError
from tsujiban.controller.api.fairqueue import Bounds
from tsujiban.controller.api.turns import EXEMPT, LEASES, NODES, WORK, Turns, level_of
from tsujiban.controller.api.users import User

pytestmark = pytest.mark.anyio

ANN, BOB = User("ann"), User("bob")
ADMIN = User("admin", ("system:masters",))
NODE = User("system:node:one", ("system:nodes",))
GET = Attributes(verb="get", resource="pods", name="p")
LEASE = Attributes(verb="update", group="coordination.k8s.io", resource="leases", namespace="x", name="l")
SMALL = {WORK: Bounds(seats=1, of_flow=1, waiting_of_flow=2, waiting=3)}


class Request:
    """One that has its turn until the test says otherwise."""

    def __init__(self, found: Turns, user: User, wanted: Attributes = GET) -> None:
        self.begun = False
        self.end = asyncio.Event()
        self.task = asyncio.create_task(self._run(found, user, wanted))

    async def _run(self, found: Turns, user: User, wanted: Attributes) -> None:
        async with found.turn(user, wanted):
            self.begun = True
            await self.end.wait()

    async def over(self) -> None:
        self.end.set()
        await self.task


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("user", "wanted", "level"),
    [
        (ADMIN, GET, EXEMPT),
        (ADMIN, LEASE, EXEMPT),
        (NODE, GET, NODES),
        (NODE, LEASE, NODES),
        (ANN, LEASE, LEASES),
        (ANN, Attributes(verb="list", group="coordination.k8s.io", resource="leases"), WORK),
        (ANN, GET, WORK),
        (ANN, Attributes(verb="watch", resource="pods"), WORK),
        (ANN, Attributes(verb="create", resource="pods", name="p", subresource="exec"), EXEMPT),
        (ANN, Attributes(verb="get", resource="pods", name="p", subresource="log"), EXEMPT),
        (ANN, Attributes(verb="apply", path="/tsujiban/v1/apply"), WORK),
    ],
)
def test_where_a_request_queues(user: User, wanted: Attributes, level: str) -> None:
    assert level_of(user, wanted) == level


async def test_others_have_their_turn_between_those_of_a_flood() -> None:
    found = Turns(SMALL)
    first = Request(found, ANN)
    await settled()
    flood = [Request(found, ANN) for _ in range(2)]
    await settled()
    bob = Request(found, BOB)
    await settled()
    assert [one.begun for one in (first, *flood, bob)] == [True, False, False, False]
    await first.over()
    await settled()
    assert [one.begun for one in (*flood, bob)] == [False, False, True]
    for one in (bob, *flood):
        await one.over()
    assert found.dispatched[WORK] == 4
    assert found.queues[WORK].seats == 0


async def test_there_is_so_much_room_to_wait() -> None:
    found = Turns(SMALL)
    ann = [Request(found, ANN) for _ in range(3)]
    await settled()
    with pytest.raises(ApiError, match="user 'ann' has too many requests waiting") as caught:
        await Request(found, ANN).over()
    assert (caught.value.code, caught.value.details["retryAfterSeconds"]) == (429, 1)
    bob = Request(found, BOB)
    await settled()
    with pytest.raises(ApiError, match=r"^too many requests are waiting"):
        await Request(found, User("carl")).over()
    assert found.rejected == {(WORK, "queue-full"): 2}
    for one in (*ann, bob):
        one.end.set()
    await asyncio.gather(*(one.task for one in (*ann, bob)))


async def test_a_turn_comes_in_time_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.01)
    found = Turns(SMALL)
    first = Request(found, ANN)
    await settled()
    with pytest.raises(ApiError, match="has waited for") as caught:
        await Request(found, BOB).task
    assert caught.value.code == 429
    assert found.rejected == {(WORK, "time-out"): 1}
    assert found.queues[WORK].waiting == 0
    await first.over()


async def test_who_leaves_while_waiting_leaves_no_seat_behind() -> None:
    found = Turns(SMALL)
    first, second, third = (Request(found, ANN) for _ in range(3))
    await settled()
    second.task.cancel()
    await asyncio.gather(second.task, return_exceptions=True)
    await first.over()
    await settled()
    assert third.begun
    third.task.cancel()  # at work
    await asyncio.gather(third.task, return_exceptions=True)
    assert (found.queues[WORK].seats, found.queues[WORK].waiting) == (0, 0)


async def test_who_is_called_and_leaves_at_once_gives_the_seat_on() -> None:
    found = Turns(SMALL)
    first, second, third = (Request(found, ANN) for _ in range(3))
    await settled()
    first.end.set()
    await asyncio.sleep(0)  # it ends and calls the second, which does not know yet
    second.task.cancel()
    await settled()
    assert third.begun
    await third.over()


async def test_an_exempt_request_waits_for_nobody() -> None:
    found = Turns(SMALL)
    first = Request(found, ANN)
    await settled()
    admin = Request(found, ADMIN)
    await settled()
    assert admin.begun
    await admin.over()
    await first.over()
