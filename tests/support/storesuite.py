"""What every engine must do: one suite, run on each. A test class of an engine inherits the parts that the
engine's features promise, and has a fixture `store` that is empty (but for what the server itself makes).

The objects are ones that a Kubernetes API server takes, too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest
from tests.support.wait import PATIENCE

from tsujiban.store.protocol import (
    AlreadyExists,
    Check,
    Compacted,
    Conflict,
    Create,
    Delete,
    Event,
    EventType,
    InvalidTransaction,
    InvalidValue,
    Key,
    NotFound,
    Operation,
    Store,
    StoreError,
    StoreUnavailable,
    Update,
)

KIND = ("", "configmaps")


def key(name: str, namespace: str = "default", resource: str = "configmaps", group: str = "") -> Key:
    return Key(group, resource, namespace, name)


def value(at: Key, mark: object = "", **fields: object) -> bytes:
    """An object; `mark` is what its content is told apart by."""
    kind = {"configmaps": "ConfigMap", "secrets": "Secret"}[at.resource]
    content = {"data": {"mark": str(mark)}} if kind == "ConfigMap" else {"stringData": {"mark": str(mark)}}
    head = {"apiVersion": "v1", "kind": kind, "metadata": {"name": at.name, "namespace": at.namespace}}
    return json.dumps(head | content | fields).encode()


def mark(raw: bytes) -> str:
    return str(json.loads(raw)["data"]["mark"])


def metadata(raw: bytes) -> dict[str, object]:
    found: dict[str, object] = json.loads(raw)["metadata"]
    return found


async def put(store: Store, name: str, content: object = "", namespace: str = "default") -> int:
    """Create an object; its revision."""
    at = key(name, namespace)
    return (await store.create(at, value(at, content))).revision


def names(events: Sequence[Event]) -> list[str]:
    return [f"{event.type} {event.stored.key.name}" for event in events]


async def take(store: Store, after: int, count: int, *kind: str) -> list[Event]:
    watch = await store.watch(after, *kind)
    seen: list[Event] = []
    async with asyncio.timeout(PATIENCE):
        while len(seen) < count:
            seen += await watch.next()
    watch.close()
    return seen


class ObjectSuite:
    """One object at a time, lists, watches."""

    largest = 1_450_000  # bytes of content

    async def test_create_then_get(self, store: Store) -> None:
        made = await store.create(key("a"), value(key("a"), 1))
        assert await store.get(key("a")) == made
        assert metadata(made.value)["resourceVersion"] == str(made.revision)
        assert {"uid", "creationTimestamp"} < set(metadata(made.value))
        assert mark(made.value) == "1"

    async def test_create_twice(self, store: Store) -> None:
        made = await store.create(key("a"), value(key("a"), 1))
        with pytest.raises(AlreadyExists):
            await store.create(key("a"), value(key("a"), 2))
        assert await store.get(key("a")) == made

    async def test_missing(self, store: Store) -> None:
        with pytest.raises(NotFound):
            await store.get(key("a"))
        with pytest.raises(NotFound):
            await store.update(key("a"), value(key("a")), None)
        with pytest.raises(NotFound):
            await store.delete(key("a"))

    async def test_update_compares_and_swaps(self, store: Store) -> None:
        made = await store.create(key("a"), value(key("a"), 1))
        changed = await store.update(key("a"), value(key("a"), 2), made.revision)
        assert changed.revision > made.revision
        with pytest.raises(Conflict):
            await store.update(key("a"), value(key("a"), 3), made.revision)
        assert await store.get(key("a")) == changed
        again = await store.update(key("a"), value(key("a"), 4), None)
        assert again.revision > changed.revision
        assert metadata(again.value)["uid"] == metadata(made.value)["uid"]

    async def test_an_update_that_changes_nothing_is_not_a_write(self, store: Store) -> None:
        made = await store.create(key("a"), value(key("a"), 1))
        assert await store.update(key("a"), value(key("a"), 1), made.revision) == made

    async def test_concurrent_updates_of_one_revision_have_one_winner(self, store: Store) -> None:
        made = await store.create(key("a"), value(key("a")))
        results = await asyncio.gather(
            *(store.update(key("a"), value(key("a"), n), made.revision) for n in range(20)),
            return_exceptions=True,
        )
        assert sum(isinstance(result, Conflict) for result in results) == 19

    async def test_delete(self, store: Store) -> None:
        made = await store.create(key("a"), value(key("a")))
        with pytest.raises(Conflict):
            await store.delete(key("a"), made.revision + 1)
        with pytest.raises(Conflict):
            await store.delete(key("a"), uid="another")
        gone = await store.delete(key("a"), made.revision, str(metadata(made.value)["uid"]))
        assert gone.revision > made.revision
        with pytest.raises(NotFound):
            await store.get(key("a"))
        again = await store.create(key("a"), value(key("a")))
        assert metadata(again.value)["uid"] != metadata(made.value)["uid"]

    async def test_bad_values_are_refused(self, store: Store) -> None:
        with pytest.raises(InvalidValue):
            await store.create(key("a"), b"[]")
        with pytest.raises(InvalidValue):
            await store.create(key("a"), value(key("a"), "y" * 1_500_000))
        with pytest.raises(NotFound):
            await store.get(key("a"))

    async def test_the_largest_object(self, store: Store) -> None:
        content = "y" * self.largest
        made = await store.create(key("a"), value(key("a"), content))
        assert await store.get(key("a")) == made
        assert mark(made.value) == content

    async def test_list_is_of_a_kind_and_a_namespace(self, store: Store) -> None:
        for name, namespace in (("b", "default"), ("a", "kube-system"), ("a", "default")):
            last = await put(store, name, "", namespace)
        other = key("s", "default", "secrets")
        await store.create(other, value(other))
        listing = await store.list(*KIND)
        found = [str(item.key) for item in listing.items]
        assert found == ["configmaps default/a", "configmaps default/b", "configmaps kube-system/a"]
        assert listing.revision > last
        assert not listing.more
        assert [item.key.name for item in (await store.list(*KIND, "kube-system")).items] == ["a"]
        assert (await store.list("", "services")).items == ()

    async def test_pages_are_of_one_snapshot(self, store: Store) -> None:
        for name in "abcde":
            await put(store, name, 1)
        page = await store.list(*KIND, limit=2)
        assert page.more
        await store.delete(key("c"))
        await store.update(key("d"), value(key("d"), 2), None)
        await put(store, "cc")
        seen = list(page.items)
        while page.more:
            page = await store.list(*KIND, limit=2, after=seen[-1].key, revision=page.revision)
            seen += page.items
        assert [item.key.name for item in seen] == ["a", "b", "c", "d", "e"]
        assert all(mark(item.value) == "1" for item in seen)

    async def test_watch_replays_then_follows(self, store: Store) -> None:
        before = await put(store, "before")
        await put(store, "a", 1)
        watch = await store.watch(before, *KIND)
        await store.update(key("a"), value(key("a"), 2), None)
        other = key("s", "default", "secrets")
        await store.create(other, value(other))
        await store.delete(key("a"))
        seen: list[Event] = []
        async with asyncio.timeout(PATIENCE):
            async for event in watch:
                seen.append(event)
                if event.type is EventType.DELETED:
                    break
        assert names(seen) == ["ADDED a", "MODIFIED a", "DELETED a"]
        revisions = [event.revision for event in seen]
        assert revisions == sorted(set(revisions))
        assert seen[0].previous is None
        assert [mark(event.stored.value) for event in seen] == ["1", "2", "2"]
        assert metadata(seen[2].stored.value)["resourceVersion"] == str(revisions[2])
        if store.features.past:
            assert [mark(event.previous or b"") for event in seen[1:]] == ["1", "2"]

    async def test_a_watch_goes_on_from_any_change(self, store: Store) -> None:
        start = (await store.list(*KIND)).revision
        for number in range(5):
            await put(store, f"n{number}")
        events = await take(store, start, 5, *KIND)
        for position, event in enumerate(events):
            rest = await take(store, event.revision, 4 - position, *KIND)
            assert names(rest) == names(events[position + 1 :])

    async def test_a_quiet_watch_returns_nothing_and_moves_on(self, store: Store) -> None:
        watch = await store.watch((await store.list(*KIND)).revision, *KIND)
        assert await watch.next(0.05) == ()
        other = key("s", "default", "secrets")
        await store.create(other, value(other))
        assert await watch.next(0.05) == ()
        await put(store, "a")
        async with asyncio.timeout(PATIENCE):
            assert names(await watch.next()) == ["ADDED a"]
        watch.close()

    async def test_watch_from_a_list_misses_and_repeats_nothing_under_load(self, store: Store) -> None:
        async def write(worker: int) -> None:
            for n in range(20):
                await put(store, f"w{worker}-{n}")
                if n % 3 == 0:
                    await store.delete(key(f"w{worker}-{n}"))

        async def follow() -> None:
            listing = await store.list(*KIND)
            state = {item.key for item in listing.items}
            watch = await store.watch(listing.revision, *KIND)
            last = listing.revision
            while not finished.is_set() or watch.revision < final[0]:
                for event in await watch.next(0.1):
                    assert event.revision > last
                    last = event.revision
                    if event.type is EventType.ADDED:
                        assert event.stored.key not in state
                        state.add(event.stored.key)
                    else:
                        state.remove(event.stored.key)
            assert state == {item.key for item in (await store.list(*KIND)).items}
            watch.close()

        finished, final = asyncio.Event(), [0]
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            writers = [group.create_task(write(worker)) for worker in range(4)]
            for _ in range(4):
                group.create_task(follow())
                await asyncio.sleep(0.01)
            await asyncio.gather(*writers)
            final[0] = await put(store, "last")
            finished.set()

    async def test_watch_from_the_future_is_refused(self, store: Store) -> None:
        with pytest.raises(Compacted):
            await (await store.watch(await store.revision() + 1_000_000, *KIND)).next()

    async def test_after_close_everything_says_so(self, store: Store) -> None:
        watch = await store.watch(await store.revision(), *KIND)
        waiting = asyncio.create_task(watch.next())
        await asyncio.sleep(0)
        await store.close()
        await store.close()
        at = key("a")
        for attempt in (store.get(at), store.create(at, value(at)), store.watch(0, *KIND), waiting):
            with pytest.raises(StoreUnavailable):
                await attempt

    async def test_it_is_well(self, store: Store) -> None:
        async with asyncio.timeout(PATIENCE):  # a member that stood still for a second was not
            while not all(part.healthy for part in await store.health()):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)


class TransactionSuite:
    """What an engine with transactions does."""

    async def test_a_page_holds_to_its_namespace(self, store: Store) -> None:
        """Whatever it is said to go on after."""
        for name, namespace in (("a", "default"), ("b", "default"), ("c", "kube-system")):
            await put(store, name, namespace=namespace)
        for name, namespace, found in (
            ("a", "default", ["c"]),
            ("a", "", ["c"]),
            ("b", "kube-system", ["c"]),
            ("c", "kube-system", []),
            ("a", "zoo", []),
        ):
            page = await store.list(*KIND, "kube-system", after=key(name, namespace))
            assert [item.key.name for item in page.items] == found

    async def test_transaction_is_all_or_nothing(self, store: Store) -> None:
        old = await store.create(key("old"), value(key("old"), 1))
        await put(store, "there")
        fails: list[tuple[Operation, type[StoreError]]] = [
            (Create(key("there"), value(key("there"))), AlreadyExists),
            (Update(key("absent"), value(key("absent")), None), NotFound),
            (Update(key("there"), value(key("there"), 2), 1_000_000_000), Conflict),
            (Delete(key("there"), uid="another"), Conflict),
            (Check(key("absent")), NotFound),
            (Check(key("there"), 0), Conflict),
            (Create(key("bad"), b"[]"), InvalidValue),
        ]
        good: list[Operation] = [
            Create(key("new"), value(key("new"))),
            Update(key("old"), value(key("old"), 2), old.revision),
        ]
        for operation, error in fails:
            for order in ([*good, operation], [operation, *good]):
                with pytest.raises(error):
                    await store.transaction(order)
        assert await store.get(key("old")) == old
        with pytest.raises(NotFound):
            await store.get(key("new"))

    async def test_transaction_gives_each_change_its_revision(self, store: Store) -> None:
        old = await store.create(key("old"), value(key("old"), 1))
        await put(store, "gone")
        same = await store.create(key("same"), value(key("same")))
        results = await store.transaction(
            [
                Create(key("new"), value(key("new"))),
                Check(key("absent"), 0),
                Delete(key("gone")),
                Update(key("same"), value(key("same")), None),
                Update(key("old"), value(key("old"), 2), old.revision),
            ]
        )
        made, checked, gone, unchanged, changed = results
        assert checked is None
        assert unchanged == same
        assert made is not None
        assert gone is not None
        assert changed is not None
        assert same.revision < made.revision < gone.revision < changed.revision
        events = await take(store, same.revision, 3)
        assert [event.revision for event in events] == [made.revision, gone.revision, changed.revision]
        assert names(events) == ["ADDED new", "DELETED gone", "MODIFIED old"]
        assert [event.stored for event in events] == [made, gone, changed]
        for position, event in enumerate(events):  # also from the middle of a transaction
            rest = await take(store, event.revision, 2 - position)
            assert names(rest) == names(events[position + 1 :])
        assert (await store.get(key("new"))) == made

    async def test_check_guards_what_is_only_read(self, store: Store) -> None:
        tier = await store.create(key("tier"), value(key("tier")))
        await store.transaction([Check(key("tier"), tier.revision), Create(key("p1"), value(key("p1")))])
        await store.delete(key("tier"))
        for check, error in ((Check(key("tier"), tier.revision), Conflict), (Check(key("tier")), NotFound)):
            with pytest.raises(error):
                await store.transaction([check, Create(key("p2"), value(key("p2")))])
        with pytest.raises(NotFound):
            await store.get(key("p2"))

    async def test_racing_transactions_are_as_if_one_came_after_the_other(self, store: Store) -> None:
        """Each moves a mark from one object to another; whatever the order, all marks stay."""
        for name in "abcd":
            await put(store, name, 10)

        async def move(source: str, target: str) -> None:
            for _ in range(5):
                while True:
                    one, two = await store.get(key(source)), await store.get(key(target))
                    less, more = int(mark(one.value)) - 1, int(mark(two.value)) + 1
                    try:
                        await store.transaction(
                            [
                                Update(key(source), value(key(source), less), one.revision),
                                Update(key(target), value(key(target), more), two.revision),
                            ]
                        )
                        break
                    except Conflict:
                        continue

        await asyncio.gather(*(move(source, target) for source, target in ("ab", "bc", "ca", "ad", "db")))
        marks = {name: int(mark((await store.get(key(name))).value)) for name in "abcd"}
        assert marks == {"a": 5, "b": 15, "c": 10, "d": 10}

    async def test_an_object_is_written_once(self, store: Store) -> None:
        before = await store.revision()
        with pytest.raises(InvalidTransaction):
            await store.transaction([Create(key("a"), value(key("a"))), Delete(key("a"))])
        with pytest.raises(NotFound):
            await store.get(key("a"))
        assert await store.revision() == before

    async def test_compaction_forgets_the_past_and_keeps_the_present(self, store: Store) -> None:
        kept = await put(store, "kept")
        revisions = [kept]
        for n in range(5):
            revisions.append(await put(store, "a", n))
            revisions.append((await store.delete(key("a"))).revision)
        await store.compact(revisions[7])
        for call in (store.watch(revisions[5]), store.list(*KIND, revision=revisions[5])):
            with pytest.raises(Compacted):
                await call
        assert [event.revision for event in await take(store, revisions[8], 2)] == revisions[9:]
        assert (await store.get(key("kept"))).revision == kept
        await store.compact(1_000_000_000)
        assert (await store.get(key("kept"))).revision == kept
        assert names(await take(store, await store.revision(), 0)) == []
        await put(store, "later")

    async def test_a_list_of_the_past(self, store: Store) -> None:
        first = await put(store, "a", 1)
        await store.update(key("a"), value(key("a"), 2), None)
        await put(store, "b")
        assert [mark(item.value) for item in (await store.list(*KIND, revision=first)).items] == ["1"]
        with pytest.raises(Compacted):
            await store.list(*KIND, revision=await store.revision() + 1_000_000)
