"""A node of two controllers: it obeys the one that leads, and is reached by both, whoever leads now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.nodestream import FULL, Controller, controller, hello
from tests.support.pki import Pki
from tests.support.wait import PATIENCE, until

from tsujiban.agent import link as agent_link
from tsujiban.agent import standby
from tsujiban.agent.link import ControllerLink, Dial
from tsujiban.wire.messages import Component, Flow, Flows, NodeStatus, OpenSession, Policy
from tsujiban.wire.sessions import ForwardAsk

NODE = "node-1"
WELL = NodeStatus(components=(Component(name="agent", healthy=True),))
ILL = NodeStatus(components=(Component(name="agent", healthy=False),))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_link, "FIRST_RETRY", 0.01)
    monkeypatch.setattr(agent_link, "LAST_RETRY", 0.1)
    monkeypatch.setattr(standby, "LAST_RETRY", 0.05)


class Scene:
    """`one` leads, `two` stands by."""

    def __init__(self, one: Controller, two: Controller) -> None:
        self.one, self.two = one, two
        two.leads = False
        self.asked: list[str] = []
        self.heard: list[object] = []
        self.link = ControllerLink(
            [("127.0.0.1", one.port), ("127.0.0.1", two.port)],
            NODE,
            one.pki.directory / NODE,
            lambda: hello(NODE),
            on_session=self._serve,
        )
        self._tasks: set[asyncio.Task[None]] = set()

    def _serve(self, message: OpenSession, dial: Dial) -> None:
        self.asked.append(message.session)
        task = asyncio.create_task(self._call_back(dial))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call_back(self, dial: Dial) -> None:
        async with dial() as stream:
            await stream.end()

    async def hear(self) -> None:
        async for message in self.link.messages():
            self.heard.append(message)

    async def ask(self, of: Controller, name: str) -> None:
        """`of` asks for a session, and gets it."""
        calls = of.events.count(("session", NODE))
        asked = OpenSession(session=name, pod="default/a", uid="u", ask=ForwardAsk(port=80))
        while not await of.server.ask(NODE, asked):  # noqa: ASYNC110 - an answer, and no event
            await asyncio.sleep(0.01)
        await until(lambda: name in self.asked)
        await until(lambda: of.events.count(("session", NODE)) > calls)


@asynccontextmanager
async def scene(pki: Pki) -> AsyncIterator[Scene]:
    pki.node(NODE)
    async with controller(pki) as one, controller(pki) as two:
        made = Scene(one, two)
        tasks = [asyncio.create_task(made.link.run()), asyncio.create_task(made.hear())]
        try:
            yield made
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def run(tmp_path: Path, play: Callable[[Scene], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), scene(Pki(tmp_path)) as made:
            await until(lambda: NODE in made.two.server.nodes() and FULL in made.heard)
            await play(made)

    asyncio.run(main())


def flows() -> Flows:
    flow = Flow(
        time_ns=1, node=NODE, post="kernel", direction="ingress", endpoint="default/web", verdict="deny",
        rule="r", source="10.0.0.1", source_port=1, destination="10.0.0.2", destination_port=2, protocol=6,
    )  # fmt: skip
    return Flows(flows=(flow,))


def test_any_controller_asks_for_a_session_and_is_called_back_itself(tmp_path: Path) -> None:
    async def play(made: Scene) -> None:
        await made.ask(made.two, "of the second")
        assert ("session", NODE) not in made.one.events
        await made.ask(made.one, "of the first")
        assert made.two.events == [("session", NODE)]  # and no Hello that it would have to refuse

    run(tmp_path, play)


def test_every_controller_is_told_how_the_node_is_and_what_flows(tmp_path: Path) -> None:
    async def play(made: Scene) -> None:
        made.link.send(WELL)
        made.link.send(flows())
        for found in (lambda: made.two.told, lambda: made.one.messages):
            await until(lambda found=found: len(found()) == 2)  # type: ignore[misc]
            assert [message for _, message in found()] == [WELL, flows()]

    run(tmp_path, play)


def test_one_that_comes_back_is_told_the_newest_status_first(tmp_path: Path) -> None:
    async def play(made: Scene) -> None:
        await made.two.stop()
        await until(lambda: list(made.link._standby.values())[1]._outbox is None)
        made.link.send(WELL)
        made.link.send(flows())  # nobody there takes it, and it is not kept
        made.link.send(ILL)
        await made.two.start()
        await until(lambda: bool(made.two.told))
        assert [message for _, message in made.two.told] == [ILL]

    run(tmp_path, play)


def test_when_the_lead_changes_so_do_the_streams(tmp_path: Path) -> None:
    async def play(made: Scene) -> None:
        one, two = made.one, made.two
        one.leads, two.leads = False, True
        one.server.disconnect(NODE, "it leads no more")
        await until(lambda: ("hello", NODE) in two.events)
        await until(lambda: not two.server._standby)
        await until(lambda: NODE in one.server._standby)
        await made.ask(one, "a")
        await made.ask(two, "b")

    run(tmp_path, play)


def test_sessions_need_no_leader(tmp_path: Path) -> None:
    async def play(made: Scene) -> None:
        made.one.leads = False
        made.one.server.disconnect(NODE, "it leads no more")
        await until(lambda: ("gone", NODE) in made.one.events)
        await made.ask(made.two, "a")
        await made.ask(made.one, "b")

    run(tmp_path, play)


def test_one_that_stands_by_and_gives_orders_is_not_obeyed(tmp_path: Path) -> None:
    async def play(made: Scene) -> None:
        heard = list(made.heard)
        stream: Any = made.two.server._standby[NODE].stream
        await stream.send(Policy(delta=FULL.delta))
        await until(
            lambda: not made.two.server._standby or made.two.server._standby[NODE].stream is not stream
        )
        await made.ask(made.two, "a")  # it connects again, for what such a one may ask
        assert made.heard == heard

    run(tmp_path, play)


def test_a_node_of_one_controller_has_one_stream(tmp_path: Path) -> None:
    async def main() -> None:
        pki = Pki(tmp_path)
        pki.node(NODE)
        async with asyncio.timeout(PATIENCE), controller(pki) as only:
            where = [("127.0.0.1", only.port)]
            link = ControllerLink(where, NODE, pki.directory / NODE, lambda: hello(NODE))
            running = asyncio.create_task(link.run())
            await until(lambda: ("hello", NODE) in only.events)
            assert (link._standby, only.server._standby) == ({}, {})
            await until(lambda: link._obeyed[0] is not None)  # one that never led would be asked for others
            only.server.disconnect(NODE, "it is stopping")
            await until(lambda: only.events.count(("hello", NODE)) == 2)
            assert (link._standby, only.server._standby) == ({}, {})
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())
