"""Nothing is called enforced while a sidecar that holds older policy is out of reach."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.podbed import Supervisor, process

from tsujiban.agent import proxyroom, sidecars
from tsujiban.agent.containers import Place
from tsujiban.agent.sidecars import Sidecars
from tsujiban.proxy import binary
from tsujiban.resources.kinds.core import Pod
from tsujiban.resources.kinds.meta import ObjectMeta

OLD = "n1/pods/u1/sidecar"
POD = Pod(metadata=ObjectMeta(name="a", namespace="default", uid="u1"))
PLACE = Place(cluster="t", node="n1", node_run=Path("/nowhere"), slot=1, addresses=("10.244.0.1",))


class Post:
    """A proxy post whose sidecars are where the test says."""

    def __init__(self) -> None:
        self.there: set[str] = set()

    def connected(self) -> frozenset[str]:
        return frozenset(self.there)

    def ready(self, key: str) -> bool:
        return key in self.there


class Scene:
    def __init__(self, run: Path) -> None:
        self.post = Post()
        self.supervisor = Supervisor([])
        self.sidecars = Sidecars("n1", run, self.post, None, self.supervisor)  # type: ignore[arg-type]  # it needs no more

    async def behind(self) -> tuple[str, ...]:
        return await self.sidecars.behind()


@pytest.fixture
def play(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Scene], Awaitable[None]]], None]:
    monkeypatch.setattr(binary, "locate", lambda: Path("/usr/bin/true"))

    def run(story: Callable[[Scene], Awaitable[None]]) -> None:
        async def all_of_it() -> None:
            await story(Scene(tmp_path))

        asyncio.run(all_of_it())

    return run


Play = Callable[[Callable[[Scene], Awaitable[None]]], None]


def test_what_a_former_agent_left_running_must_come_back_first(play: Play) -> None:
    async def story(scene: Scene) -> None:
        scene.supervisor.processes[OLD] = process(OLD)
        assert await scene.behind() == (f"{OLD} has not come back yet",)
        scene.sidecars._served["default/a"] = "u1"
        assert await scene.behind() == (f"{OLD} has not come back yet",)
        scene.post.there.add("default/a")
        assert await scene.behind() == ()

    play(story)


def test_one_that_has_ended_is_closed_and_not_waited_for(play: Play) -> None:
    async def story(scene: Scene) -> None:
        scene.supervisor.processes[OLD] = process(OLD)
        assert await scene.behind() != ()
        scene.supervisor.processes[OLD] = process(OLD, "backoff")
        assert await scene.behind() == ()

    play(story)


def test_one_that_is_cut_off_now_must_come_back_and_a_new_one_need_not(play: Play) -> None:
    async def story(scene: Scene) -> None:
        assert await scene.behind() == ()
        scene.supervisor.processes[OLD] = process(OLD)
        scene.sidecars._served["default/a"] = "u1"
        assert await scene.behind() == ()  # it holds nothing yet
        scene.sidecars._configured.add("default/a")
        assert await scene.behind() == (f"{OLD} has not come back yet",)
        scene.post.there.add("default/a")
        assert await scene.behind() == ()

    play(story)


def test_one_that_is_being_ended_need_not_come_back(play: Play) -> None:
    """Envoy takes leave of us before its process has ended."""

    async def story(scene: Scene) -> None:
        scene.supervisor.processes[OLD] = process(OLD)
        scene.sidecars._away = set()
        scene.sidecars._served["default/a"] = "u1"
        scene.sidecars._configured.add("default/a")
        assert await scene.behind() != ()
        scene.supervisor.gate.clear()
        leaving = asyncio.create_task(scene.sidecars.leave("default/a", POD, PLACE))
        for _ in range(3):
            await asyncio.sleep(0)
        assert await scene.behind() == ()
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)

    play(story)


def test_a_sidecars_directory_is_its_own_and_goes_whole(tmp_path: Path) -> None:
    directory = tmp_path / "pods" / "u1"
    uid = os.getuid()
    sidecars.make_directory(directory, uid, b"{}")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / proxyroom.CONFIG).stat().st_mode) == 0o600
    sidecars.remove_directory(directory)
    assert not directory.exists()
    sidecars.remove_directory(directory)


def test_only_a_process_of_the_pods_own_namespace_is_answered() -> None:
    mine = os.stat("/proc/self/ns/net")
    assert sidecars._in_namespace(os.getpid(), mine)
    assert not sidecars._in_namespace(os.getpid(), os.stat("/proc/self/ns/pid"))
    assert not sidecars._in_namespace(2**22 + 1, mine)  # above pid_max: nobody
