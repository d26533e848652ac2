"""The loop sees what it wrote, survives lost races and compaction, and repeats nothing."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.support.wait import PATIENCE

from tsujiban.controller import loop as module
from tsujiban.controller.loop import Change, Loop, Work
from tsujiban.controller.reconcile.actions import Action, Create, Delete, Update
from tsujiban.controller.reconcile.services import Assigner
from tsujiban.controller.serviceclaims import ServiceClaims
from tsujiban.controller.world import SERVICES, Json, Ref, World
from tsujiban.store.protocol import Key, NotFound, Operation, Stored
from tsujiban.store.protocol import Update as Updating
from tsujiban.store.sqlite import SqliteStore
from tsujiban.store.wrapper import StoreWrapper

THING = ("", "configmaps")
COPY = ("", "secrets")


def thing(name: str) -> Ref:
    return Ref(*THING, "default", name)


def copy(name: str) -> Ref:
    return Ref(*COPY, "default", name)


def obj(name: str, **fields: object) -> Json:
    return {"metadata": {"name": name, "namespace": "default"}, **fields}


def route(world: World, change: Change) -> list[Work]:
    """A copy is made of every thing; of an odd one it cannot be told."""
    if change.ref.name == "odd":
        raise TypeError("of an odd thing")
    return [("copy", change.ref._replace(resource="secrets"))]


def planner(world: World, ref: Ref) -> list[Action]:
    source = world.get(ref._replace(resource=THING[1]))
    there = world.get(ref)
    if source is None:
        return [Delete(ref)] if there else []
    if there is None:
        return [Create(ref, obj(ref.name, spec=source["spec"]))]
    if there["spec"] != source["spec"]:
        return [Update(ref, {**there, "spec": source["spec"]})]
    return []


class Stage:
    """A store, a loop running on it, and what the observer has seen."""

    def __init__(self, store: SqliteStore, loop: Loop, seen: list[Change]) -> None:
        self.store = store
        self.loop = loop
        self.seen = seen

    async def write(self, ref: Ref, value: Json) -> None:
        try:
            await self.store.update(Key(*ref), msgspec.json.encode(value), None)
        except NotFound:
            await self.store.create(Key(*ref), msgspec.json.encode(value))

    async def until(self, test: Callable[[World], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not test(self.loop.world):
                turn = asyncio.Event()

                async def turned(event: asyncio.Event = turn) -> None:
                    event.set()

                await self.loop.submit(turned)
                await turn.wait()


@asynccontextmanager
async def stage(path: Path, before: Sequence[tuple[Ref, Json]] = ()) -> AsyncIterator[Stage]:
    store = await SqliteStore.open(path / "store.db")
    seen: list[Change] = []

    async def observe(world: World, changes: Sequence[Change]) -> None:
        seen.extend(changes)

    loop = Loop(store, [THING, COPY], route, {"copy": planner}, observe)
    made = Stage(store, loop, seen)
    for ref, value in before:
        await made.write(ref, value)
    task = asyncio.create_task(loop.run())
    try:
        await loop.synced.wait()
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.close()


def run(story: Callable[[], object]) -> None:
    asyncio.run(story())  # type: ignore[arg-type]  # a coroutine function


def test_reconciles_what_was_there_before(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(
            tmp_path, [(thing("a"), obj("a", spec=1)), (copy("old"), obj("old", spec=2))]
        ) as scene:
            assert scene.loop.world.get(copy("a")) is not None
            assert scene.loop.world.get(copy("old")) is None

    run(story)


def test_follows_creation_change_and_deletion(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as scene:
            await scene.write(thing("a"), obj("a", spec=1))
            await scene.until(lambda w: (w.get(copy("a")) or {}).get("spec") == 1)
            await scene.write(thing("a"), obj("a", spec=2))
            await scene.until(lambda w: (w.get(copy("a")) or {}).get("spec") == 2)
            await scene.store.delete(Key(*thing("a")))
            await scene.until(lambda w: w.get(copy("a")) is None)

    run(story)


def test_a_deletion_that_names_a_uid_spares_another_of_that_name(tmp_path: Path) -> None:
    async def story() -> None:
        store = await SqliteStore.open(tmp_path / "store.db")
        made = await store.create(Key(*thing("a")), msgspec.json.encode(obj("a")))

        def delete(_world: World, ref: Ref) -> list[Action]:
            return [Delete(ref, "another")]

        async def observe(_world: World, _changes: Sequence[Change]) -> None:
            return None

        loop = Loop(store, [THING], lambda _w, change: [("copy", change.ref)], {"copy": delete}, observe)
        task = asyncio.create_task(loop.run())
        try:
            async with asyncio.timeout(PATIENCE):
                await loop.synced.wait()
            assert await store.get(Key(*thing("a"))) == made
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await store.close()

    run(story)


def test_each_change_is_seen_once_and_in_order(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as scene:
            for number in range(20):
                await scene.write(thing("a"), obj("a", spec=number))
            await scene.until(lambda w: (w.get(copy("a")) or {}).get("spec") == 19)
            revisions = [change.revision for change in scene.seen]
            assert len(set(revisions)) == len(revisions)
            mine = [c.new["spec"] for c in scene.seen if c.ref == thing("a") and c.new is not None]
            assert mine == sorted(mine)

    run(story)


def test_a_lost_race_is_put_right_by_the_winners_event(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as scene:
            await scene.write(thing("a"), obj("a", spec=1))
            await scene.until(lambda w: w.get(copy("a")) is not None)
            await asyncio.gather(
                *(scene.write(copy("a"), obj("a", spec=f"intruder {n}")) for n in range(10)),
                scene.write(thing("a"), obj("a", spec=2)),
            )
            # an intruder's event brings no work for the planner of things; the next change does
            await scene.write(thing("a"), obj("a", spec=3))
            await scene.until(lambda w: (w.get(copy("a")) or {}).get("spec") == 3)

    run(story)


def test_calls_run_in_the_loops_own_task(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as scene:
            done = asyncio.Event()

            async def call() -> None:
                await scene.loop.create(thing("made"), obj("made", spec=7))
                done.set()

            await scene.loop.submit(call)
            await done.wait()
            await scene.until(lambda w: (w.get(copy("made")) or {}).get("spec") == 7)

    run(story)


def test_what_nobody_thought_of_is_told_and_holds_up_nobody_else(tmp_path: Path) -> None:
    """Neither a planner that meets it, nor a call, nor who says what a change is about; also at the start."""

    async def story() -> None:
        with capture_logs() as logs:
            async with stage(
                tmp_path, [(thing("bad"), obj("bad")), (thing("good"), obj("good", spec=1))]
            ) as scene:
                await scene.until(lambda w: (w.get(copy("good")) or {}).get("spec") == 1)

                async def call() -> None:
                    raise AttributeError("of an object that is none")

                await scene.loop.submit(call)
                await scene.write(thing("odd"), obj("odd"))
                await scene.write(thing("later"), obj("later", spec=2))
                await scene.until(lambda w: (w.get(copy("later")) or {}).get("spec") == 2)
                assert scene.loop.world.get(copy("bad")) is None
        told = [
            (line["event"].partition(":")[0], line.get("object", ""))
            for line in logs
            if line["log_level"] == "error"
        ]
        assert ("an object is left as it is", str(Key(*copy("bad")))) in told
        assert ("something that was to be done in the loop is left undone", "") in told
        assert ("nobody looks at a change", str(Key(*thing("odd")))) in told
        assert all("exc_info" in line for line in logs if line["log_level"] == "error")

    run(story)


class Rival(StoreWrapper):
    """Another controller's API gives the address first, before the loop can have seen it."""

    first = True

    async def transaction(self, operations: Sequence[Operation]) -> tuple[Stored | None, ...]:
        if self.first and any(isinstance(one, Updating) for one in operations):
            self.first = False
            spec = {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"]}
            await self._store.create(Key(*SERVICES, "default", "rival"), encoded(obj("rival", spec=spec)))
        return await self._store.transaction(operations)


def encoded(value: Json) -> bytes:
    return msgspec.json.encode(value)


def test_who_loses_a_race_for_an_address_gets_another_though_nothing_of_its_own_changes(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        opened = await SqliteStore.open(tmp_path / "store.db")
        store = Rival(ServiceClaims(opened))
        await store.create(Key(*SERVICES, "default", "a"), encoded(obj("a", spec={})))
        planner = Assigner("10.96.0.0/29", frozenset()).plan

        def only_of_a(_world: World, change: Change) -> list[Work]:
            return [("service", change.ref)] if change.ref.name == "a" else []

        async def observe(_world: World, _changes: Sequence[Change]) -> None:
            return None

        loop = Loop(store, [SERVICES], only_of_a, {"service": planner}, observe)
        task = asyncio.create_task(loop.run())
        try:
            async with asyncio.timeout(PATIENCE):
                await loop.synced.wait()
            given = loop.world.get(Ref(*SERVICES, "default", "a")) or {}
            assert given["spec"]["clusterIP"] == "10.96.0.2"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await opened.close()

    run(story)


def there(ref: Ref) -> Callable[[World], bool]:
    return lambda world: world.get(ref) is not None


def absent(ref: Ref) -> Callable[[World], bool]:
    return lambda world: world.get(ref) is None


async def within(loop: Loop, call: Callable[[], Awaitable[None]]) -> None:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run() -> None:
        await call()
        done.set_result(None)

    await loop.submit(run)
    await asyncio.wait_for(done, PATIENCE)


def test_modify_wins_against_a_write_that_the_loop_has_not_seen(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as scene:
            await scene.write(thing("a"), obj("a", spec=1))
            await scene.until(lambda w: w.get(thing("a")) is not None)

            async def call() -> None:
                await scene.write(thing("a"), obj("a", spec=2))  # its event cannot have been handled
                await scene.loop.modify(thing("a"), lambda old: {**old, "status": {"of": old["spec"]}})

            await within(scene.loop, call)
            stored = msgspec.json.decode((await scene.store.get(Key(*thing("a")))).value)
            assert (stored["spec"], stored["status"]) == (2, {"of": 2})

    run(story)


def test_modify_of_what_is_gone_or_needs_nothing_writes_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as scene:
            await scene.write(thing("a"), obj("a", spec=1))
            await scene.until(lambda w: w.get(copy("a")) is not None)

            async def call() -> None:
                before = await scene.store.revision()
                await scene.loop.modify(thing("none"), lambda old: old)
                await scene.loop.modify(thing("a"), lambda old: None)
                assert await scene.store.revision() == before
                await scene.store.delete(Key(*thing("a")))
                await scene.loop.modify(thing("a"), lambda old: {**old, "spec": 2})

            await within(scene.loop, call)
            await scene.until(lambda w: w.get(thing("a")) is None)

    run(story)


def test_nothing_is_kept_of_deleted_objects(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as scene:
            for number in range(10):
                await scene.write(thing(f"t{number}"), obj(f"t{number}", spec=1))
                await scene.until(there(copy(f"t{number}")))
                await scene.store.delete(Key(*thing(f"t{number}")))
                await scene.until(absent(copy(f"t{number}")))
            await scene.write(thing("last"), obj("last", spec=1))
            await scene.until(lambda w: w.get(copy("last")) is not None)
            # the echo of the loop's own last write may not have come yet, those of the ten have
            known = {ref.name for ref in scene.loop._revisions}
            assert known == {"last"}

    run(story)


def test_an_object_made_anew_is_seen_as_a_deletion_and_a_creation(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as scene:
            await scene.write(thing("a"), obj("a", spec=1))
            await scene.until(lambda w: w.get(copy("a")) is not None)
            uid = (scene.loop.world.get(thing("a")) or {})["metadata"]["uid"]

            async def call() -> None:
                await scene.store.delete(Key(*thing("a")))
                await scene.store.create(Key(*thing("a")), msgspec.json.encode(obj("a", spec=2)))
                await scene.loop.modify(thing("a"), lambda old: {**old, "spec": 3})  # learns it at once

            await within(scene.loop, call)
            await scene.until(lambda w: (w.get(copy("a")) or {}).get("spec") == 3)
            mine = [
                (bool(c.old), bool(c.new))
                for c in scene.seen
                if c.ref == thing("a")
                and uid in {(v or {}).get("metadata", {}).get("uid") for v in (c.old, c.new)}
            ]
            assert mine == [(False, True), (True, False)]

    run(story)


def test_a_status_that_is_none_is_told_and_passed_over(tmp_path: Path) -> None:
    """Stored by an older version, say: the loop, and with it the controller, must live."""
    ready = {"type": "Ready", "status": "True"}

    async def story() -> None:
        bad = obj("a", spec=1, status={"conditions": ["Ready", ready]})
        async with stage(tmp_path, [(thing("a"), bad)]) as scene:
            assert (scene.loop.world.get(thing("a")) or {})["status"] == {"conditions": [ready]}

    with capture_logs() as told:
        run(story)
    assert [(line["log_level"], line["object"], line["ignored"]) for line in told] == [
        ("error", f"{THING[1]} default/a", "status.conditions[0] is a text, not an object")
    ]


def test_who_asks_without_end_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One user's thousands of replicas are worked off in turns, between which nodes are heard."""
    monkeypatch.setattr(module, "TURN", 3)
    made = itertools.count()

    def endless(_world: World, _ref: Ref) -> list[Action]:
        return [Create(copy(f"c{next(made)}"), obj("c"))]

    async def story() -> None:
        store = await SqliteStore.open(tmp_path / "store.db")
        begun = asyncio.Event()

        async def observe(_world: World, changes: Sequence[Change]) -> None:
            begun.set()

        loop = Loop(store, {THING, COPY}, lambda _w, c: [("more", c.ref)], {"more": endless}, observe)
        task = asyncio.create_task(loop.run())

        async def nothing() -> None:
            assert next(made) > 0

        try:
            await loop.synced.wait()
            await store.create(Key(*thing("a")), msgspec.json.encode(obj("a")))
            await begun.wait()
            await within(loop, nothing)
            await within(loop, nothing)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await store.close()

    run(story)


def test_plans_that_take_long_and_write_nothing_hold_nobody_up(tmp_path: Path) -> None:
    """Who shares the event loop, such as the API, is let in between them."""
    planned: list[str] = []

    def slow(_world: World, ref: Ref) -> list[Action]:
        time.sleep(2 * module.SHARE_SECONDS)
        planned.append(ref.name)
        return []

    async def story() -> None:
        store = await SqliteStore.open(tmp_path / "store.db")
        for number in range(5):
            await store.create(Key(*thing(f"t{number}")), msgspec.json.encode(obj(f"t{number}")))

        async def observe(_world: World, _changes: Sequence[Change]) -> None:
            return None

        loop = Loop(store, {THING}, lambda _w, c: [("slow", c.ref)], {"slow": slow}, observe)
        task = asyncio.create_task(loop.run())
        seen = set()
        try:
            while not loop.synced.is_set():
                seen.add(len(planned))
                await asyncio.sleep(0)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await store.close()
        assert {1, 2, 3, 4} <= seen

    run(story)
