"""A store does what a dictionary and a list of events would do, whatever happens in whatever order."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tsujiban.store.protocol import (
    Check,
    Compacted,
    Create,
    Delete,
    Event,
    EventType,
    Key,
    Operation,
    Stored,
    StoreError,
    Update,
)
from tsujiban.store.sqlite import SqliteStore

KEYS = st.builds(
    Key,
    st.just(""),
    st.sampled_from(["pods", "nodes"]),
    st.sampled_from(["", "n"]),
    st.sampled_from(["a", "b"]),
)
VALUES = st.sampled_from(
    [{"spec": 1}, {"spec": 2}, {"spec": 2, "status": 1}, {"status": True}, {"status": 1}]
)
EXPECTED = st.sampled_from(["any", "right", "wrong"])
OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["create", "update", "delete", "check", "exists"]), KEYS, VALUES, EXPECTED),
    min_size=1,
    max_size=4,
)

Step = tuple[str, Key, dict[str, Any], str]
Model = dict[Key, tuple[int, str]]  # revision, canonical value without what the store writes


def plain(value: bytes) -> str:
    document = json.loads(value)
    document.pop("metadata")
    return json.dumps(document, sort_keys=True)


class StoreMachine(RuleBasedStateMachine):
    """Runs every step on the store and on the model."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "state" / "store.db"
        self.runner = asyncio.Runner()
        self.store = self.runner.run(SqliteStore.open(self.path, kept_revisions=1000))
        self.model: Model = {}
        self.past: dict[int, Model] = {0: {}}  # the model after each commit
        self.events: list[tuple[int, EventType, Key]] = []
        self.values: list[tuple[int, Key, str]] = []  # every value ever written
        self.revision = 0
        self.oldest = 0

    def teardown(self) -> None:
        try:
            self._look_at_everything()
        finally:
            self._close()

    def _look_at_everything(self) -> None:
        """Each revision, replayed from the file (the ring is empty after opening) and listed."""
        self._reopen()
        for after in range(self.revision + 1):
            for kind in (None, "pods"):
                self._replay(after, kind)
        for position in range(len(self.past)):
            for limit in (0, 1):
                self._list_the_past(position, limit)

    def _close(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()
        self.directory.cleanup()

    @rule(steps=OPERATIONS)
    def transact(self, steps: list[Step]) -> None:
        self._transact(steps)

    def _transact(self, steps: list[Step]) -> None:
        model, events, operations, fails = dict(self.model), list(self.events), list[Operation](), False
        revision, written = self.revision, list[tuple[int, Key, str]]()
        for what, key, fields, expected in steps:
            present = model.get(key)
            value = json.dumps({"metadata": {"name": key.name}, **fields}).encode()
            right = present[0] if present else 0
            wanted = {"any": None, "right": right, "wrong": right + 1000}[expected]
            operation, ok, writes = self._step(what, key, value, wanted, present, expected != "wrong")
            operations.append(operation)
            if not ok:
                fails = True
                break
            if writes is None:
                continue
            revision += 1
            events.append((revision, writes, key))
            if writes is EventType.DELETED:
                del model[key]
            else:
                model[key] = (revision, plain(value))
                written.append((revision, key, plain(value)))
        if fails:
            with pytest.raises(StoreError):
                self.runner.run(self.store.transaction(operations))
            return
        self.runner.run(self.store.transaction(operations))
        self.values += written
        self.model, self.events, self.revision = model, events, revision
        self.past[revision] = dict(model)

    @rule(keys=st.lists(KEYS, min_size=1, max_size=6), values=st.lists(VALUES, min_size=6, max_size=6))
    def put(self, keys: list[Key], values: list[dict[str, Any]]) -> None:
        """What always succeeds, so that there is a past to look at."""
        for key, fields in zip(keys, values, strict=False):
            what = "update" if key in self.model else "create"
            self._transact([(what, key, fields, "any")])

    @precondition(lambda self: bool(self.model))
    @rule(choose=st.integers(0, 7))
    def remove(self, choose: int) -> None:
        self._transact([("delete", sorted(self.model)[choose % len(self.model)], {}, "any")])

    def _step(
        self,
        what: str,
        key: Key,
        value: bytes,
        wanted: int | None,
        present: tuple[int, str] | None,
        right: bool,
    ) -> tuple[Operation, bool, EventType | None]:
        """The operation, whether it succeeds, and what it writes."""
        if what == "create":
            return Create(key, value), present is None, EventType.ADDED
        if what == "check":
            expected = wanted or 0
            return Check(key, expected), expected == (present[0] if present else 0), None
        if what == "exists":
            return Check(key), present is not None, None
        if what == "delete":
            return Delete(key, wanted), present is not None and right, EventType.DELETED
        unchanged = present is not None and present[1] == plain(value)
        return (
            Update(key, value, wanted),
            present is not None and right,
            None if unchanged else EventType.MODIFIED,
        )

    @rule(back=st.integers(0, 5))
    def compact(self, back: int) -> None:
        target = self.revision - back
        self.runner.run(self.store.compact(target))
        self.oldest = max(self.oldest, min(target, self.revision - 1))

    @rule()
    def reopen(self) -> None:
        self._reopen()

    def _reopen(self) -> None:
        self.runner.run(self.store.close())
        self.store = self.runner.run(SqliteStore.open(self.path, kept_revisions=1000))

    @rule(after=st.integers(0, 60), kind=st.sampled_from([None, "pods"]))
    def replay(self, after: int, kind: str | None) -> None:
        self._replay(min(after, self.revision), kind)

    def _replay(self, after: int, kind: str | None) -> None:
        expected = [e for e in self.events if e[0] > after and kind in (None, e[2].resource)]
        if after < self.oldest:
            with pytest.raises(Compacted):
                self._collect(after, kind, 1)
            return
        found = self._collect(after, kind, len(expected))
        assert [(event.revision, event.type, event.stored.key) for event in found] == expected
        for event in found:
            assert (event.previous is None) == (event.type is EventType.ADDED)
            if event.previous is not None:
                assert plain(event.previous) == self._before(event)

    def _before(self, event: Event) -> str:
        """The value that an object had until `event`."""
        return next(
            value
            for revision, key, value in reversed(self.values)
            if key == event.stored.key and revision < event.revision
        )

    def _collect(self, after: int, kind: str | None, count: int) -> list[Event]:
        async def collect() -> list[Event]:
            watch = await self.store.watch(after, None if kind is None else "", kind)
            found: list[Event] = []
            async with asyncio.timeout(10):
                while len(found) < count:
                    found += await watch.next()
            return found + list(await watch.next(0.001))

        return self.runner.run(collect())

    @precondition(lambda self: len(self.past) > 1)
    @rule(choose=st.integers(0, 100), limit=st.integers(0, 2))
    def list_the_past(self, choose: int, limit: int) -> None:
        self._list_the_past(choose, limit)

    def _list_the_past(self, choose: int, limit: int) -> None:
        at = sorted(self.past)[choose % len(self.past)]
        if at == 0:
            return
        if at < self.oldest:
            with pytest.raises(Compacted):
                self.runner.run(self.store.list("", "pods", revision=at))
            return
        self._compare(self.past[at], lambda after: self._page(at, limit, after))

    def _page(self, at: int, limit: int, after: Key | None) -> tuple[tuple[Stored, ...], bool]:
        page = self.runner.run(self.store.list("", "pods", limit=limit, after=after, revision=at))
        assert not limit or len(page.items) <= limit
        return page.items, page.more

    @invariant()
    def the_present_is_right(self) -> None:
        assert self.runner.run(self.store.revision()) == self.revision
        self._compare(self.model, lambda after: self._page(0, 0, after))

    def _compare(self, model: Model, page: Callable[[Key | None], tuple[tuple[Stored, ...], bool]]) -> None:
        found: list[Stored] = []
        more = True
        while more:
            items, more = page(found[-1].key if found else None)
            found += items
        expected = sorted(key for key in model if key.resource == "pods")
        assert [item.key for item in found] == expected
        for item in found:
            assert (item.revision, plain(item.value)) == model[item.key]
            assert json.loads(item.value)["metadata"]["resourceVersion"] == str(item.revision)


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
