"""The node's parts put together: what goes on when the supervisor is away, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.podbed import NETWORK, Supervisor, pod, process
from tests.support.wait import until

from tsujiban.agent import kernelside, node
from tsujiban.agent.config import AgentConfig
from tsujiban.agent.node import Node
from tsujiban.identity.rotation import SignFailed
from tsujiban.policy.failsafes import Failsafe
from tsujiban.proxy import binary
from tsujiban.supervise.client import ProcessEvent, SupervisorGone
from tsujiban.wire.messages import ControllerAddress, NodeStatus, PodsDelta, ToController, TokenIssued


class Watched(Supervisor):
    """A supervisor whose events are watched, until it goes away."""

    def __init__(self) -> None:
        super().__init__([])
        self.watches = 0
        self.end = asyncio.Event()

    async def watch(self) -> AsyncIterator[ProcessEvent]:
        self._check()
        self.watches += 1
        yield ProcessEvent(event="watching", name="")
        await self.end.wait()
        self.end.clear()
        raise SupervisorGone("it hung up")


class Link:
    """What the controller is told."""

    def __init__(self) -> None:
        self.said: list[ToController] = []

    def send(self, message: ToController) -> None:
        self.said.append(message)

    def takes_flows(self) -> bool:
        return True

    renewal_error = ""
    known: tuple[ControllerAddress, ...] = ()

    async def token(self, *_asked: object) -> TokenIssued:
        raise SignFailed("not here")

    async def sign(self, _pod: str, _csr: str) -> str:
        return ""

    def statuses(self) -> list[NodeStatus]:
        return [message for message in self.said if isinstance(message, NodeStatus)]


class Scene:
    def __init__(self, run: Path) -> None:
        self.supervisor, self.link = Watched(), Link()
        config = AgentConfig(
            cluster="t", node="n1", address="172.31.255.11", run_dir=str(run), state_dir=str(run),
            supervisor_socket="", join_file="", controller_host="", controller_port=0,
        )  # fmt: skip
        self.node = Node(config, NETWORK, self.link, self.supervisor)  # type: ignore[arg-type]  # they do what is asked


Play = Callable[[Callable[[Scene], Awaitable[None]]], None]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    monkeypatch.setattr(kernelside, "KernelPost", lambda settings: SimpleNamespace(settings=settings))
    monkeypatch.setattr(kernelside, "Conntrack", lambda: None)
    monkeypatch.setattr(binary, "locate", lambda: Path("/usr/bin/true"))
    monkeypatch.setattr(node, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(node, "STATUS_SECONDS", 0.01)

    def run(story: Callable[[Scene], Awaitable[None]]) -> None:
        async def all_of_it() -> None:
            await story(Scene(tmp_path))

        asyncio.run(all_of_it())

    return run


def start(*works: Awaitable[None]) -> list[asyncio.Future[Any]]:
    return [asyncio.ensure_future(work) for work in works]


def test_the_supervisor_is_watched_again_after_it_was_away(play: Play) -> None:
    async def story(scene: Scene) -> None:
        looked: list[int] = []
        scene.node.pods.look_again = lambda: looked.append(1)  # type: ignore[method-assign]
        (task,) = start(scene.node._follow_processes())
        await until(lambda: scene.supervisor.watches == 1)
        scene.supervisor.gone = True
        scene.supervisor.end.set()
        await asyncio.sleep(0.05)
        scene.supervisor.gone = False
        await until(lambda: scene.supervisor.watches == 2)
        await until(lambda: len(looked) == 2)  # what happened meanwhile nobody has told
        task.cancel()

    play(story)


def test_without_a_supervisor_the_report_says_so_and_goes_on(play: Play) -> None:
    async def story(scene: Scene) -> None:
        scene.supervisor.gone = True
        (task,) = start(scene.node._report_health())
        await until(lambda: scene.link.statuses() != [])
        (component,) = scene.link.statuses()[0].components
        assert (component.name, component.healthy) == ("supervisor", False)
        scene.supervisor.gone = False
        scene.supervisor.processes["n1/agent"] = process("n1/agent")
        await until(lambda: scene.link.statuses()[-1].components[0].name == "agent")
        task.cancel()

    play(story)


def test_bird_and_dns_are_started_again_and_again_until_they_are(play: Play) -> None:
    async def story(scene: Scene) -> None:
        scene.supervisor.gone = True
        scene.node.configure(NETWORK)
        (task,) = start(scene.node._keep_routes())
        await until(lambda: scene.node.health.routing_error != "")
        scene.supervisor.gone = False
        await until(lambda: scene.supervisor.processes.keys() >= {"n1/bird", "n1/dns"})
        await until(lambda: scene.node.health.routing_error == "")
        task.cancel()

    play(story)


def test_the_way_to_a_controller_that_was_told_is_open_and_no_other(play: Play) -> None:
    async def story(scene: Scene) -> None:
        scene.node.configure(NETWORK)
        before = scene.node.kernel._post.settings.failsafes.outbound
        scene.link.known = (ControllerAddress("1" * 32, "192.0.2.1", 443),)
        scene.node.learned()
        after = scene.node.kernel._post.settings.failsafes.outbound
        assert set(after) - set(before) == {Failsafe(6, 443, "192.0.2.1/32")}
        scene.link.known = ()
        scene.node.learned()
        assert scene.node.kernel._post.settings.failsafes.outbound == before

    play(story)


def test_only_what_the_controller_says_in_full_removes_leftovers(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(scene: Scene) -> None:
        swept: list[int] = []
        monkeypatch.setattr(scene.node.pods, "sweep", lambda: swept.append(1))
        scene.node.configure(NETWORK)
        scene.node.take_pods(PodsDelta(pods={"default/web": pod("u1", "10.244.0.1")}))
        assert swept == []
        scene.node.take_pods(PodsDelta(pods={}, full=True))
        assert swept == [1]

    play(story)
