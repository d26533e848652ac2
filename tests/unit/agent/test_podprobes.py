"""Readiness, liveness, startup: thresholds of the probe, eagerness of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from tests.support.wait import until

from tsujiban.agent import podprobes
from tsujiban.agent.containers import ContainerPlan
from tsujiban.agent.podprobes import ContainerProbes
from tsujiban.agent.probes import Probe

FAST = Probe(port=80, period=0.01, failure_threshold=2)


class Scene:
    """A container whose probes answer what the test says."""

    def __init__(self) -> None:
        self.trouble: dict[int, str] = {}
        self.asked: list[int] = []
        self.changes = 0
        self.killed: list[str] = []
        self.grace: float | None = None

    async def ask(self, probe: Probe) -> str:
        self.asked.append(probe.port)
        return self.trouble.get(probe.port, "")

    def changed(self) -> None:
        self.changes += 1

    async def fail(self, why: str, grace: float | None) -> None:
        self.killed.append(why)
        self.grace = grace

    def probes(
        self, readiness: Probe | None = None, liveness: Probe | None = None, startup: Probe | None = None
    ) -> ContainerProbes:
        plan = ContainerPlan(
            name="main", image="host", readiness=readiness, liveness=liveness, startup=startup
        )
        return ContainerProbes(plan, self.ask, self.changed, self.fail)


def story(run: Callable[[Scene], Awaitable[None]]) -> None:
    async def play() -> None:
        await run(Scene())

    asyncio.run(play())


def test_without_probes_a_running_container_is_ready() -> None:
    async def run(scene: Scene) -> None:
        assert scene.probes().ready

    story(run)


def test_readiness_comes_and_goes_with_its_thresholds() -> None:
    async def run(scene: Scene) -> None:
        scene.trouble[80] = "refused"
        running = scene.probes(readiness=FAST)
        assert not running.ready
        await until(lambda: len(scene.asked) >= 2)
        assert not running.ready
        scene.trouble.clear()
        await until(lambda: running.ready)
        assert scene.changes == 1
        scene.trouble[80] = "gone"
        await until(lambda: not running.ready)
        assert scene.changes == 2
        assert scene.killed == []
        running.stop()

    story(run)


def test_a_slow_period_does_not_delay_the_first_success() -> None:
    async def run(scene: Scene) -> None:
        slow = Probe(port=80, period=3600)
        scene.trouble[80] = "starting"
        running = scene.probes(readiness=slow)
        await until(lambda: len(scene.asked) >= 2)
        scene.trouble.clear()
        await until(lambda: running.ready)
        running.stop()

    story(run)


def test_a_container_that_is_not_alive_is_killed_once() -> None:
    async def run(scene: Scene) -> None:
        running = scene.probes(liveness=replace(FAST, grace=7))
        await until(lambda: len(scene.asked) >= 3)
        assert scene.killed == []
        scene.trouble[80] = "no answer"
        await until(lambda: scene.killed != [])
        assert (scene.killed, scene.grace) == (["liveness probe: no answer"], 7)
        running.stop()

    story(run)


def test_nothing_else_is_asked_before_it_has_started_up() -> None:
    async def run(scene: Scene) -> None:
        scene.trouble[1] = "starting"
        startup = Probe(port=1, period=10)
        running = scene.probes(startup=startup, readiness=FAST, liveness=Probe(port=2, period=0.01))
        await until(lambda: len(scene.asked) >= 2)
        assert set(scene.asked) == {1}
        scene.trouble.clear()
        await until(lambda: running.ready and 2 in scene.asked)
        running.stop()

    story(run)


def test_one_that_never_starts_up_is_killed() -> None:
    async def run(scene: Scene) -> None:
        scene.trouble[1] = "starting"
        running = scene.probes(startup=Probe(port=1, period=0.02, failure_threshold=2, grace=9))
        await until(lambda: scene.killed != [])
        assert (scene.killed, scene.grace) == (["startup probe: starting"], 9)
        assert not running.ready
        running.stop()

    story(run)


def test_it_is_eager_but_does_not_spin() -> None:
    assert 0.02 <= podprobes.EAGER_SECONDS <= 0.5


def test_a_probe_that_cannot_even_be_made_has_failed_and_the_next_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run(scene: Scene) -> None:
        broken = [OSError("no more processes"), OSError()]
        ask = scene.ask

        async def asked(probe: Probe) -> str:
            if broken:
                raise broken.pop(0)
            return await ask(probe)

        monkeypatch.setattr(scene, "ask", asked)
        running = scene.probes(readiness=FAST)
        await until(lambda: running.ready)
        running.stop()

    story(run)


def test_a_hook_that_cannot_be_run_has_failed() -> None:
    async def broken() -> str:
        raise OSError("the disk is full")

    async def run(scene: Scene) -> None:
        plan = ContainerPlan(name="main", image="host")
        ContainerProbes(plan, scene.ask, scene.changed, scene.fail, broken)
        await until(lambda: scene.killed == ["postStart hook: the disk is full"])

    story(run)
