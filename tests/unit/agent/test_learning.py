"""A node that was configured with one controller finds the others, and no lie leads it astray."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from tests.support.nodestream import FULL, Controller, controller, hello
from tests.support.pki import Pki, listener
from tests.support.wait import PATIENCE, until

from tsujiban.agent import link as agent_link
from tsujiban.agent import standby, ways
from tsujiban.agent.link import ControllerLink
from tsujiban.wire.messages import ControllerAddress, Hello

pytestmark = pytest.mark.anyio

NODE = "node-1"
ONE, TWO, THREE = "1" * 32, "2" * 32, "3" * 32


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_link, "FIRST_RETRY", 0.01)
    monkeypatch.setattr(agent_link, "LAST_RETRY", 0.1)
    monkeypatch.setattr(standby, "LAST_RETRY", 0.05)
    # controllers of a test are on the loopback, of which nodes are told nothing
    monkeypatch.setattr(ways, "usable", lambda known: tuple(dict.fromkeys(known)))


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    made = Pki(tmp_path)
    made.node(NODE)
    return made


@pytest.fixture(autouse=True)
async def bounded() -> AsyncIterator[None]:
    async with asyncio.timeout(PATIENCE):
        yield


def at(identity: str, port: int) -> ControllerAddress:
    return ControllerAddress(identity, "127.0.0.1", port)


class Node:
    def __init__(
        self, pki: Pki, configured: Sequence[tuple[str, int]], remembered: Sequence[ControllerAddress] = ()
    ) -> None:
        self.learned: list[tuple[ControllerAddress, ...]] = []
        self.heard: list[object] = []
        self.learns = True
        self.link = ControllerLink(
            configured, NODE, pki.directory / NODE, self._hello, on_learned=self._learned
        )
        self.link.learn(remembered)

    def _hello(self) -> Hello:
        return msgspec.structs.replace(hello(NODE), learns=self.learns)

    def _learned(self) -> None:
        self.learned.append(self.link.known)

    async def hear(self) -> None:
        async for message in self.link.messages():
            self.heard.append(message)


@asynccontextmanager
async def running(made: Node) -> AsyncIterator[Node]:
    tasks = [asyncio.create_task(made.link.run()), asyncio.create_task(made.hear())]
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def obeys(one: Controller) -> bool:
    return NODE in one.server._sessions and ("hello", NODE) in one.events


def stands_by(one: Controller) -> bool:
    return NODE in one.server._standby


async def test_a_node_hears_of_another_from_its_leader_and_has_a_stream_to_it(pki: Pki) -> None:
    async with controller(pki, ONE) as one, controller(pki, TWO) as two:
        one.server.introduce((at(ONE, one.port),))
        async with running(Node(pki, [("127.0.0.1", one.port)])) as node:
            await until(lambda: FULL in node.heard)
            assert node.learned == [(at(ONE, one.port),)]
            assert node.link._standby == {}
            both = at(ONE, one.port), at(TWO, two.port)
            one.server.introduce(both)  # it has just come
            two.leads = False
            await until(lambda: stands_by(two))
            assert node.link.known == both
            assert obeys(one)
            one.server.introduce(both[:1])  # and is gone
            await until(lambda: not stands_by(two))
            assert node.link._standby == {}


async def test_one_that_stands_by_says_who_else_there_is(pki: Pki) -> None:
    async with controller(pki, ONE) as one, controller(pki, TWO) as two:
        one.leads = False
        one.server.introduce((at(ONE, one.port), at(TWO, two.port)))
        async with running(Node(pki, [("127.0.0.1", one.port)])):
            await until(lambda: obeys(two))
            await until(lambda: stands_by(one))


async def test_a_node_that_was_told_in_an_earlier_life_needs_no_controller_for_it(pki: Pki) -> None:
    with listener() as nobody:
        dead: int = nobody.getsockname()[1]
    async with (
        controller(pki, TWO) as two,
        running(Node(pki, [("127.0.0.1", dead)], [at(TWO, two.port)])),
    ):
        await until(lambda: obeys(two))


async def test_when_all_that_was_told_is_dead_the_configured_one_is_found(pki: Pki) -> None:
    with listener() as nobody:
        dead: int = nobody.getsockname()[1]
    told = [at(f"{number:032x}", dead) for number in range(16)]
    async with controller(pki, ONE) as one:
        one.leads = False
        async with running(Node(pki, [("127.0.0.1", one.port)], told)) as node:
            await until(lambda: stands_by(one))
            one.leads = True
            await until(lambda: FULL in node.heard)


async def test_who_is_met_at_an_address_must_be_who_is_said_to_be_there(pki: Pki) -> None:
    """Also a controller of this very cluster: an entry cannot have it taken for another."""
    async with controller(pki, ONE) as one, controller(pki, TWO) as two:
        lie = at(THREE, two.port)
        async with running(Node(pki, [("127.0.0.1", one.port)], [lie])) as node:
            await until(lambda: FULL in node.heard)
            one.leads = False
            one.server.disconnect(NODE, "it leads no more")
            turns = node.link._ways._turn
            await until(lambda: node.link._ways._turn > turns + 4)  # it has tried both, and again
            assert two.events == []
            assert not stands_by(two)
            one.server.introduce((at(TWO, two.port),))
            await until(lambda: obeys(two))


async def test_who_is_of_another_authority_is_believed_nothing(pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "evil").mkdir()
    async with (
        controller(pki, ONE) as one,
        controller(Pki(tmp_path / "evil"), TWO) as evil,
        running(Node(pki, [("127.0.0.1", one.port)], [at(TWO, evil.port)])) as node,
    ):
        await until(lambda: FULL in node.heard)
        one.leads = False
        one.server.disconnect(NODE, "it leads no more")
        turns = node.link._ways._turn
        await until(lambda: node.link._ways._turn > turns + 4)
        assert (evil.events, evil.seen) == ([], [])
        one.leads = True
        await until(lambda: obeys(one))


async def test_one_controller_by_two_addresses_has_one_stream(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two streams of a kind would end each other for ever."""
    async with controller(pki, ONE) as one, controller(pki, TWO) as two:
        two.leads = False
        known = at(ONE, one.port), at(TWO, two.port)
        # "localhost" is another address than 127.0.0.1, and the same machine
        configured = [("localhost", one.port), ("localhost", two.port)]
        monkeypatch.setattr(standby, "DOUBLED_SECONDS", 0.01)
        async with running(Node(pki, configured, known)) as node:
            await until(lambda: obeys(one) and stands_by(two))
            first = two.server._standby[NODE], one.server._sessions[NODE]
            met: list[str] = []
            link = node.link
            real = link._met

            def noted(way: ways.Way, identity: str) -> bool:
                met.append(identity)
                return real(way, identity)

            for way, stream in link._standby.items():
                monkeypatch.setattr(stream, "_met", lambda identity, way=way: noted(way, identity))
            await until(lambda: met.count(TWO) > 2)  # the second way was tried again and again
            assert (two.server._standby[NODE], one.server._sessions[NODE]) == first
            assert not stands_by(one)


async def test_a_node_that_does_not_learn_is_told_nothing(pki: Pki) -> None:
    async with controller(pki, ONE) as one:
        one.server.introduce((at(TWO, 1),))
        made = Node(pki, [("127.0.0.1", one.port)])
        made.learns = False
        async with running(made):
            await until(lambda: FULL in made.heard)
            one.server.introduce((at(THREE, 1),))
            await one.server.send(NODE, FULL)
            await until(lambda: made.heard == [FULL, FULL])
            assert made.learned == []
