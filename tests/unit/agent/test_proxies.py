"""Pods move between the ways of being in the mesh, and no revision is in force before they have."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.podbed import Supervisor, process

from tsujiban.agent import proxies
from tsujiban.agent.containers import Place
from tsujiban.agent.proxies import Proxies
from tsujiban.kernel import redirect
from tsujiban.policy.program import EndpointProgram, Mesh, NodeState
from tsujiban.proxy import sockdiag
from tsujiban.proxy.parting import Parting
from tsujiban.resources.kinds.core import Pod
from tsujiban.supervise.client import SupervisorGone

KEY = "default/web"
POD: Pod = msgspec.convert({"metadata": {"name": "web", "namespace": "default", "uid": "u1"}}, Pod)


class Way:
    """A way of being in the mesh that writes down what is asked of it."""

    def __init__(self, name: str, journal: list[str]) -> None:
        self.name = name
        self.journal = journal
        self.fails = False
        self.away: tuple[str, ...] = ()
        self.supervisor = Supervisor([])

    async def join(self, key: str, _pod: Pod, _place: Place, _program: EndpointProgram) -> None:
        if self.fails:
            raise OSError("no room")
        self.journal.append(f"{self.name} takes {key}")

    async def leave(self, key: str, _pod: Pod, _place: Place) -> None:
        self.journal.append(f"{self.name} lets {key} go")

    def ready(self, _key: str) -> bool:
        return True

    def serves(self, _key: str, _processes: Any) -> bool:
        return self.name == "sidecar"

    async def behind(self) -> tuple[str, ...]:
        await self.supervisor.list("")
        return self.away


class Post:
    """A proxy post that enforces everything, at once or never."""

    def __init__(self) -> None:
        self.refused: tuple[str, ...] = ()
        self.slow = False
        self.parted: list[tuple[str, Parting]] = []

    def part(self, key: str, parting: Parting) -> None:
        self.parted.append((key, parting))

    def update(self, _state: NodeState, _endpoints: set[str] | None) -> None:
        return None

    async def enforced(self, _revision: int) -> tuple[str, ...]:
        if self.slow:
            await asyncio.Event().wait()
        return self.refused


class Scene:
    def __init__(self, run: Path) -> None:
        self.journal: list[str] = []
        self.sidecar, self.node = Way("sidecar", self.journal), Way("node", self.journal)
        self.post = Post()
        ways = {Mesh.SIDECAR: self.sidecar, Mesh.NODE: self.node}
        self.proxies = Proxies(self.post, ways, lambda: self.journal.append("moved"))  # type: ignore[arg-type]  # it needs no more
        self.place = Place(cluster="t", node="n1", node_run=run, slot=1, addresses=("10.244.0.1",))

    def state(self, mesh: Mesh) -> NodeState:
        found = NodeState()
        found.endpoints[KEY] = EndpointProgram(id=KEY, node="n1", mesh=mesh)
        return found

    async def enforce(self, mesh: Mesh) -> tuple[str, ...]:
        return tuple(await self.proxies.enforce(self.state(mesh), None))

    async def join(self, mesh: Mesh) -> None:
        await self.proxies.join(KEY, POD, self.place, self.state(mesh).endpoints[KEY])
        self.journal.clear()


@pytest.fixture
def play(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Scene], Awaitable[None]]], None]:
    def run(story: Callable[[Scene], Awaitable[None]]) -> None:
        async def all_of_it() -> None:
            scene = Scene(tmp_path)
            monkeypatch.setattr(redirect, "remove", lambda _: scene.journal.append("redirect removed"))
            monkeypatch.setattr(sockdiag, "destroy_all", lambda _: scene.journal.append("connections ended"))
            await story(scene)

        asyncio.run(all_of_it())

    return run


Play = Callable[[Callable[[Scene], Awaitable[None]]], None]


def test_a_pod_moves_when_its_program_says_so_and_its_old_proxy_goes_first(play: Play) -> None:
    async def story(scene: Scene) -> None:
        await scene.join(Mesh.SIDECAR)
        assert await scene.enforce(Mesh.SIDECAR) == ()
        assert scene.journal == []
        assert await scene.enforce(Mesh.NODE) == ()
        assert scene.journal == [
            f"sidecar lets {KEY} go", f"node takes {KEY}", "connections ended", "moved"
        ]  # fmt: skip

    play(story)


def test_a_pod_that_leaves_the_mesh_loses_its_redirect_last(play: Play) -> None:
    async def story(scene: Scene) -> None:
        await scene.join(Mesh.NODE)
        assert await scene.enforce(Mesh.NONE) == ()
        assert scene.journal == [
            f"sidecar lets {KEY} go", f"node lets {KEY} go", "redirect removed", "moved"
        ]  # fmt: skip
        assert scene.proxies.serves(KEY, {}) is None

    play(story)


def test_a_move_that_fails_is_told_and_tried_again(play: Play) -> None:
    async def story(scene: Scene) -> None:
        await scene.join(Mesh.NONE)
        scene.node.fails = True
        (problem,) = await scene.enforce(Mesh.NODE)
        assert problem == f"{KEY} is not in the mesh as it should be (node): no room"
        assert scene.proxies.serves(KEY, {}) is False
        scene.node.fails = False
        assert await scene.enforce(Mesh.NODE) == ()
        assert scene.journal[-2:] == ["connections ended", "moved"]

    play(story)


def test_what_changes_while_a_pod_joins_is_not_missed(play: Play) -> None:
    async def story(scene: Scene) -> None:
        assert await scene.enforce(Mesh.NODE) == ()
        await scene.proxies.join(KEY, POD, scene.place, scene.state(Mesh.SIDECAR).endpoints[KEY])
        assert scene.journal[-1] == f"node takes {KEY}"
        assert await scene.enforce(Mesh.NODE) == ()

    play(story)


def test_a_pod_that_has_left_is_not_moved(play: Play) -> None:
    async def story(scene: Scene) -> None:
        await scene.join(Mesh.NODE)
        await scene.proxies.leave(KEY, POD, scene.place)
        scene.journal.clear()
        assert await scene.enforce(Mesh.SIDECAR) == ()
        assert scene.journal == []
        assert not scene.proxies.ready(KEY)

    play(story)


def test_refusals_silence_and_proxies_that_are_away_are_problems(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(scene: Scene) -> None:
        scene.post.refused, scene.node.away = ("default/a: listener",), ("n1/proxy has not come back yet",)
        assert await scene.enforce(Mesh.NONE) == ("default/a: listener", "n1/proxy has not come back yet")
        scene.sidecar.supervisor.processes["x"] = process("x")
        scene.sidecar.supervisor.gone = True
        assert "cannot tell which proxies run" in (await scene.enforce(Mesh.NONE))[0]
        scene.post.slow = True
        monkeypatch.setattr(proxies, "ENFORCED_SECONDS", 0.01)
        assert "has not answered" in (await scene.enforce(Mesh.NONE))[0]

    play(story)


def test_a_supervisor_that_is_gone_is_no_error_of_the_program() -> None:
    assert issubclass(SupervisorGone, OSError)


def test_a_pod_that_ends_takes_new_connections_for_a_while_and_then_no_more(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(scene: Scene) -> None:
        await scene.join(Mesh.NODE)
        leaving = asyncio.create_task(scene.proxies.part(KEY))
        await asyncio.sleep(0)
        assert scene.post.parted == [(KEY, Parting.CLOSING)]
        monkeypatch.setattr(proxies, "CLOSING_SECONDS", 0.0)
        leaving.cancel()
        await scene.proxies.part(KEY)
        assert scene.post.parted[1:] == [(KEY, Parting.CLOSING), (KEY, Parting.CLOSED)]

    play(story)


def test_only_a_pod_with_a_proxy_is_waited_for(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(scene: Scene) -> None:
        async def until_quiet(_namespace: str, left: Callable[[], float]) -> bool:
            scene.journal.append(f"for {left()}")
            return False

        monkeypatch.setattr(proxies, "until_quiet", until_quiet)
        for mesh, waited in ((Mesh.NONE, []), (Mesh.NODE, ["for 3.0"]), (Mesh.SIDECAR, ["for 3.0"])):
            await scene.join(mesh)
            await scene.proxies.flush(KEY, POD, scene.place, lambda: 3.0)
            assert scene.journal == waited

    play(story)
