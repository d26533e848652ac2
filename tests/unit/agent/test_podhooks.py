"""Hooks are run once, in their time, and what goes wrong with them ends nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.podbed import Supervisor, process
from tests.support.wait import until

from tsujiban.agent import podhooks
from tsujiban.agent.containers import ContainerPlan
from tsujiban.agent.hooks import Hook, Hooks
from tsujiban.agent.podhooks import NOT_UP, PodHooks
from tsujiban.agent.probes import Probe
from tsujiban.supervise.client import ProcessStatus, SupervisorGone
from tsujiban.supervise.spec import ProcessSpec

HOOK = Hook(Probe(command=("true",)))


class Bed:
    def __init__(self, run: Path) -> None:
        self.supervisor = Supervisor([])
        self.asked: list[str] = []
        self.answers: list[str] = []
        self.answer: Callable[[], Awaitable[str]] = self._next
        self.hooks = self.again()
        self.spec = ProcessSpec(name="n1/pods/u1/m", argv=("x",), needs=str(run / "m"))

    def again(self) -> PodHooks:
        """Of an agent that has just begun."""
        return PodHooks("default/web", self.supervisor, self._ask)  # type: ignore[arg-type]  # as in podbed

    def plan(self, post_start: Hook | None = None, pre_stop: Hook | None = None) -> ContainerPlan:
        return ContainerPlan(name="m", image="host", process=self.spec, hooks=Hooks(post_start, pre_stop))

    async def _next(self) -> str:
        return self.answers.pop(0) if self.answers else ""

    async def _ask(self, plan: ContainerPlan, status: ProcessStatus, _probe: Probe) -> str:
        self.asked.append(f"{plan.name} {status.pid}")
        return await self.answer()


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    return Bed(tmp_path)


def test_post_start_is_run_once_for_each_incarnation_also_by_another_agent(bed: Bed) -> None:
    async def story() -> None:
        plan = bed.plan(post_start=HOOK)
        status = process(bed.spec.name)
        assert await bed.hooks.after_start(plan, status) == ""
        assert await bed.again().after_start(plan, status) == ""
        assert bed.asked == ["m 10"]
        assert await bed.hooks.after_start(plan, process(bed.spec.name, pid=11)) == ""
        assert bed.asked == ["m 10", "m 11"]
        bed.answers = ["exec: exit status 3"]
        assert await bed.hooks.after_start(plan, process(bed.spec.name, pid=12)) == "exec: exit status 3"
        assert await bed.hooks.after_start(plan, process(bed.spec.name, pid=12)) == ""  # it was not done

    asyncio.run(story())


def test_post_start_waits_until_the_container_is_up(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podhooks, "AGAIN_SECONDS", 0.001)
    bed.answers = [NOT_UP, NOT_UP, ""]
    assert asyncio.run(bed.hooks.after_start(bed.plan(post_start=HOOK), process(bed.spec.name))) == ""
    assert len(bed.asked) == 3


def test_pre_stop_is_run_once_and_only_in_what_runs(bed: Bed) -> None:
    async def story() -> None:
        plan = bed.plan(pre_stop=HOOK)
        await bed.again().before_stop(plan, 30)  # nothing runs
        bed.supervisor.processes[bed.spec.name] = process(bed.spec.name)
        await bed.again().before_stop(plan, 0)  # there is no time
        assert bed.asked == []
        for _ in range(2):
            await bed.hooks.before_stop(plan, 30)
        assert bed.asked == ["m 10"]

    asyncio.run(story())


def test_pre_stop_is_run_before_each_restart_and_not_again_when_the_pod_ends_meanwhile(bed: Bed) -> None:
    async def story() -> None:
        plan = bed.plan(pre_stop=HOOK)
        for pid in (10, 11):
            status = bed.supervisor.processes[bed.spec.name] = process(bed.spec.name, pid=pid)
            await bed.hooks.before_restart(plan, status, 0)  # there is no time
            await bed.hooks.before_restart(plan, status, 30)
        assert bed.asked == ["m 10", "m 11"]
        await bed.hooks.before_stop(plan, 30)
        assert bed.asked == ["m 10", "m 11"]
        bed.supervisor.processes[bed.spec.name] = process(bed.spec.name, pid=12)
        await bed.hooks.before_stop(plan, 30)
        assert bed.asked == ["m 10", "m 11", "m 12"]

    asyncio.run(story())


def test_a_hook_that_the_end_of_the_pod_cuts_off_is_run_then(bed: Bed) -> None:
    async def story() -> None:
        async def never() -> str:
            await asyncio.Event().wait()
            return ""

        plan = bed.plan(pre_stop=HOOK)
        status = bed.supervisor.processes[bed.spec.name] = process(bed.spec.name)
        bed.answer = never
        restarting = asyncio.create_task(bed.hooks.before_restart(plan, status, 3600))
        await until(lambda: bed.asked == ["m 10"])
        restarting.cancel()
        await asyncio.gather(restarting, return_exceptions=True)
        bed.answer = bed._next
        await bed.hooks.before_stop(plan, 30)
        assert bed.asked == ["m 10", "m 10"]

    asyncio.run(story())


def test_pre_stop_ends_with_the_time_that_there_is(bed: Bed) -> None:
    async def story() -> None:
        async def never() -> str:
            await asyncio.Event().wait()
            return ""

        bed.answer = never
        bed.supervisor.processes[bed.spec.name] = process(bed.spec.name)
        await bed.hooks.before_stop(bed.plan(pre_stop=HOOK), 0.01)
        other = bed.again()
        stopping = asyncio.create_task(other.before_stop(bed.plan(pre_stop=Hook(sleep=3600)), 3600))
        await until(lambda: other._parted == {"m"})
        other.cut()
        await stopping

    asyncio.run(story())


def test_what_goes_wrong_is_no_reason_not_to_stop(bed: Bed) -> None:
    async def broken() -> str:
        raise OSError("no more processes")

    bed.answer = broken
    bed.supervisor.processes[bed.spec.name] = process(bed.spec.name)
    asyncio.run(bed.hooks.before_stop(bed.plan(pre_stop=HOOK), 30))
    assert bed.asked == ["m 10"]


def test_a_supervisor_that_was_away_takes_no_hook_from_a_container(bed: Bed) -> None:
    async def story() -> None:
        bed.supervisor.processes[bed.spec.name] = process(bed.spec.name)
        bed.supervisor.gone = True
        with pytest.raises(SupervisorGone):
            await bed.hooks.before_stop(bed.plan(pre_stop=HOOK), 30)
        bed.supervisor.gone = False
        await bed.hooks.before_stop(bed.plan(pre_stop=HOOK), 30)
        assert bed.asked == ["m 10"]

    asyncio.run(story())


def test_nothing_of_a_hook_goes_on_when_nobody_waits_for_it(bed: Bed) -> None:
    async def story() -> None:
        bed.supervisor.processes[bed.spec.name] = process(bed.spec.name)
        others = asyncio.all_tasks()
        stopping = asyncio.create_task(bed.hooks.before_stop(bed.plan(pre_stop=Hook(sleep=3600)), 3600))
        await until(lambda: bed.hooks._parted == {"m"})
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
        assert asyncio.all_tasks() == others

    asyncio.run(story())
