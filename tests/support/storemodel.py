"""A store does what a dictionary and a list of events would do, whatever happens in whatever order.

`StoreMachine` runs every step on a store and on the model; each engine says how it is opened.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.support.wait import PATIENCE

from tsujiban.store.protocol import (
    Check,
    Compacted,
    Create,
    Delete,
    Event,
    EventType,
    Key,
    Operation,
    Store,
    Stored,
    StoreError,
    Update,
)

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
        self.runner = asyncio.Runner()
        self.store = self.runner.run(self.open())
        self.beginning = self.runner.run(self.store.revision())
        self.model: Model = {}
        self.past: dict[int, Model] = {self.beginning: {}}  # the model after each commit
        self.events: list[tuple[int, EventType, Key]] = []
        self.values: list[tuple[int, Key, str]] = []  # every value ever written
        self.gone = 0  # what is older than this is forgotten
        self.kept = 0  # what is at least this is not

    async def open(self) -> Store:
        """Open the store; the same one each time."""
        raise NotImplementedError

    def teardown(self) -> None:
        try:
            self._look_at_everything()
        finally:
            self.runner.run(self.store.close())
            self.runner.close()

    @property
    def commits(self) -> list[int]:
        """The revision after each commit."""
        return sorted(self.past)

    def _look_at_everything(self) -> None:
        """Each revision, replayed from what is durable (the ring is empty after opening) and listed."""
        self._reopen()
        for after in {self.beginning, *self.past, *(event[0] for event in self.events)}:
            for kind in (None, "pods"):
                self._replay(after, kind)
        for position in range(len(self.past)):
            for limit in (0, 1):
                self._list_the_past(position, limit)

    @rule(steps=OPERATIONS)
    def transact(self, steps: list[Step]) -> None:
        self._transact(steps)

    def _transact(self, steps: list[Step]) -> None:
        model = dict(self.model)
        operations, writes, fails = list[Operation](), list[tuple[int, EventType, Key, str]](), False
        for what, key, fields, expected in steps:
            if any(key == written[2] for written in writes):
                what = "check" if expected == "any" else "exists"  # its new revision nobody can know
            present = model.get(key)
            value = json.dumps({"metadata": {"name": key.name}, **fields}).encode()
            right = present[0] if present else 0
            wanted = {"any": None, "right": right, "wrong": right + 1000}[expected]
            operation, ok, kind = self._step(what, key, value, wanted, present, expected != "wrong")
            operations.append(operation)
            if not ok:
                fails = True
                break
            if kind is None:
                continue
            writes.append((len(operations) - 1, kind, key, plain(value)))
            if kind is EventType.DELETED:
                del model[key]
            else:
                model[key] = (-1, plain(value))
        if fails:
            with pytest.raises(StoreError):
                self.runner.run(self.store.transaction(operations))
            return
        results = self.runner.run(self.store.transaction(operations))
        self._note(model, writes, results)

    def _note(
        self, model: Model, writes: list[tuple[int, EventType, Key, str]], results: Sequence[Stored | None]
    ) -> None:
        for position, kind, key, content in writes:
            result = results[position]
            assert result is not None
            last = self.events[-1][0] if self.events else 0
            assert result.revision > last, "a change is not after the one before"
            self.events.append((result.revision, kind, key))
            if kind is not EventType.DELETED:
                model[key] = (result.revision, content)
                self.values.append((result.revision, key, content))
        self.model = model
        if writes:
            self.past[self.events[-1][0]] = dict(model)

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
        commits = self.commits
        position = max(0, len(commits) - 1 - back)
        self.runner.run(self.store.compact(commits[position]))
        self.kept = max(self.kept, commits[position])
        self.gone = max(self.gone, commits[max(0, position - 1)])  # an engine may keep a little more

    @rule()
    def reopen(self) -> None:
        self._reopen()

    def _reopen(self) -> None:
        self.runner.run(self.store.close())
        self.store = self.runner.run(self.open())

    @rule(choose=st.integers(0, 60), kind=st.sampled_from([None, "pods"]))
    def replay(self, choose: int, kind: str | None) -> None:
        revisions = [self.beginning, *(event[0] for event in self.events)]
        self._replay(revisions[choose % len(revisions)], kind)

    def _replay(self, after: int, kind: str | None) -> None:
        expected = [e for e in self.events if e[0] > after and kind in (None, e[2].resource)]
        if after < self.gone:
            with pytest.raises(Compacted):
                self._collect(after, kind, 1)
            return
        try:
            found = self._collect(after, kind, len(expected))
        except Compacted:
            assert after <= self.kept
            return
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
            async with asyncio.timeout(PATIENCE):
                while len(found) < count:
                    found += await watch.next()
            return found + list(await watch.next(0.001))

        return self.runner.run(collect())

    @rule(choose=st.integers(0, 100), limit=st.integers(0, 2))
    def list_the_past(self, choose: int, limit: int) -> None:
        self._list_the_past(choose, limit)

    def _list_the_past(self, choose: int, limit: int) -> None:
        at = self.commits[choose % len(self.past)]
        if at == 0:
            return  # means: now
        if at < self.gone:
            with pytest.raises(Compacted):
                self.runner.run(self.store.list("", "pods", revision=at))
            return
        try:
            self._compare(self.past[at], lambda after: self._page(at, limit, after))
        except Compacted:
            assert at < self.kept

    def _page(self, at: int, limit: int, after: Key | None) -> tuple[tuple[Stored, ...], bool]:
        page = self.runner.run(self.store.list("", "pods", limit=limit, after=after, revision=at))
        assert not limit or len(page.items) <= limit
        return page.items, page.more

    @invariant()
    def the_present_is_right(self) -> None:
        if self.events:
            assert self.runner.run(self.store.revision()) >= self.events[-1][0]
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
