"""A revision is acknowledged after both posts have it, never before, and never when one has not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tests.support.wait import PATIENCE
from tests.support.wait import until as in_time

from tsujiban.agent.enforcer import Enforcer
from tsujiban.policy.program import EndpointProgram, NodeDelta, NodeState, Peer
from tsujiban.wire.messages import Enforced


class Slow:
    """A post that waits to be let on, and keeps what it was asked for."""

    def __init__(self, name: str, problems: Sequence[str] = ()) -> None:
        self.name = name
        self.problems = problems
        self.go = asyncio.Event()
        self.revisions: list[int] = []
        self.endpoints: list[set[str] | None] = []

    async def enforce(self, state: NodeState, endpoints: set[str] | None) -> Sequence[str]:
        self.revisions.append(state.revision)
        self.endpoints.append(endpoints)
        await self.go.wait()
        return self.problems


def delta(revision: int, *names: str, full: bool = False) -> NodeDelta:
    programs = {name: EndpointProgram(id=name, node="n") for name in names}
    return NodeDelta(revision=revision, full=full, endpoints=dict(programs))


async def scene(problems: Sequence[str] = ()) -> tuple[Enforcer, Slow, Slow, list[Enforced]]:
    first, second = Slow("kernel"), Slow("proxy", problems)
    said: list[Enforced] = []

    async def acknowledge(message: Enforced) -> None:
        said.append(message)

    return Enforcer([first, second], acknowledge), first, second, said


async def until(test: Callable[[], bool]) -> None:
    for _ in range(1000):
        if test():
            return
        await asyncio.sleep(0)  # nothing here waits for anything but other tasks
    raise AssertionError("it never came true")


def test_acknowledges_after_the_last_post() -> None:
    async def story() -> None:
        enforcer, kernel, proxy, said = await scene()
        task = asyncio.create_task(enforcer.run())
        enforcer.take(delta(7, "a", full=True))
        await until(lambda: kernel.revisions == [7])
        assert not proxy.revisions
        kernel.go.set()
        await until(lambda: proxy.revisions == [7])
        assert said == []
        assert enforcer.enforced == 0
        proxy.go.set()
        await until(lambda: said != [])
        assert (said[0].revision, said[0].problems, enforcer.enforced) == (7, (), 7)
        task.cancel()

    asyncio.run(story())


def test_what_arrives_meanwhile_is_enforced_together() -> None:
    async def story() -> None:
        enforcer, kernel, proxy, said = await scene()
        task = asyncio.create_task(enforcer.run())
        enforcer.take(delta(1, "a", full=True))
        await until(lambda: kernel.revisions == [1])
        for revision, name in ((2, "b"), (3, "c"), (4, "d")):
            enforcer.take(delta(revision, name))
        kernel.go.set()
        proxy.go.set()
        await until(lambda: len(said) == 2)
        assert kernel.revisions == [1, 4]
        assert kernel.endpoints == [None, {"b", "c", "d"}]
        assert sorted(enforcer.state.endpoints) == ["a", "b", "c", "d"]
        task.cancel()

    asyncio.run(story())


def test_a_problem_is_reported_and_not_called_enforced() -> None:
    async def story() -> None:
        enforcer, kernel, proxy, said = await scene(problems=["listener refused"])
        kernel.go.set()
        proxy.go.set()
        task = asyncio.create_task(enforcer.run())
        enforcer.take(delta(5, "a", full=True))
        await until(lambda: said != [])
        assert said[0].problems == ("proxy: listener refused",)
        assert enforcer.enforced == 0
        task.cancel()

    asyncio.run(story())


def test_until_waits_for_what_is_in_force() -> None:
    async def story() -> None:
        enforcer, kernel, proxy, _ = await scene()
        proxy.go.set()
        task = asyncio.create_task(enforcer.run())
        waiting = asyncio.create_task(enforcer.until(lambda state: "a" in state.endpoints))
        enforcer.take(delta(1, "a", full=True))
        await until(lambda: kernel.revisions == [1])
        assert not waiting.done()
        kernel.go.set()
        await asyncio.wait_for(waiting, PATIENCE)
        task.cancel()

    asyncio.run(story())


def test_until_waits_while_the_kernel_is_being_programmed_for_a_later_state() -> None:
    async def story() -> None:
        enforcer, kernel, proxy, said = await scene()
        kernel.go.set()
        proxy.go.set()
        task = asyncio.create_task(enforcer.run())
        enforcer.take(delta(1, "a", full=True))
        await until(lambda: len(said) == 1)
        kernel.go.clear()
        enforcer.take(delta(2, "b"))
        await until(lambda: kernel.revisions == [1, 2])  # folded in, not in force
        waiting = asyncio.create_task(enforcer.until(lambda state: "b" in state.endpoints))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        kernel.go.set()
        await asyncio.wait_for(waiting, PATIENCE)
        task.cancel()

    asyncio.run(story())


def test_a_pod_may_begin_while_a_proxy_is_slow() -> None:
    async def story() -> None:
        enforcer, kernel, _, said = await scene()
        kernel.go.set()
        task = asyncio.create_task(enforcer.run())
        enforcer.take(delta(1, "a", full=True))
        await asyncio.wait_for(enforcer.until(lambda state: "a" in state.endpoints), PATIENCE)
        assert said == []
        task.cancel()

    asyncio.run(story())


def test_what_failed_is_tried_again_for_all_and_then_called_enforced() -> None:
    async def story() -> None:
        enforcer, kernel, proxy, said = await scene(problems=["busy"])
        kernel.go.set()
        proxy.go.set()
        task = asyncio.create_task(enforcer.run())
        enforcer.take(delta(1, "a", full=True))
        await until(lambda: len(said) == 1)
        enforcer.take(delta(2, "b"))
        await until(lambda: len(said) == 2)
        assert proxy.endpoints == [None, None]  # what concerned only "a" has not been enforced yet
        proxy.problems = ()
        await in_time(lambda: not said[-1].problems)
        assert (said[-1].revision, enforcer.enforced, enforcer.problems) == (2, 2, ())
        count = len(said)
        enforcer.take(delta(3, "c"))
        await until(lambda: len(said) > count)
        assert proxy.endpoints[-1] == {"c"}
        task.cancel()

    asyncio.run(story())


def test_nothing_begins_while_the_kernel_has_refused() -> None:
    async def story() -> None:
        enforcer, kernel, proxy, said = await scene()
        kernel.problems = ["nft: no"]
        kernel.go.set()
        proxy.go.set()
        task = asyncio.create_task(enforcer.run())
        waiting = asyncio.create_task(enforcer.until(lambda state: "a" in state.endpoints))
        enforcer.take(delta(1, "a", full=True))
        await until(lambda: said != [])
        assert not waiting.done()
        kernel.problems = ()
        await asyncio.wait_for(waiting, PATIENCE)
        task.cancel()

    asyncio.run(story())


def test_the_kernel_judges_connections_of_those_whom_the_change_endangers() -> None:
    async def story() -> None:
        enforcer, kernel, proxy, said = await scene()
        kernel.go.set()
        proxy.go.set()
        task = asyncio.create_task(enforcer.run())
        enforcer.take(delta(1, "a", full=True))
        await until(lambda: len(said) == 1)
        enforcer.take(NodeDelta(revision=2, peers={"10.0.0.1": Peer(address="10.0.0.1", endpoint="x/y")}))
        await until(lambda: len(said) == 2)
        assert kernel.endpoints == [None, set()]
        assert proxy.endpoints == [None, None]
        enforcer.refresh()
        await until(lambda: len(said) == 3)
        assert kernel.endpoints[2] is None
        task.cancel()

    asyncio.run(story())
