from __future__ import annotations

import json
import weakref
from collections.abc import Sequence
from typing import Any

import pytest

from tsujiban.controller.api import watches
from tsujiban.controller.api.encodings import Encodings
from tsujiban.controller.api.tables import Representation
from tsujiban.controller.api.target import Target
from tsujiban.resources.registry import resolve
from tsujiban.store.protocol import Compacted, Event, EventType, Key, Stored

pytestmark = pytest.mark.anyio


def options(**changes: Any) -> watches.Options:
    target = Target(kind=resolve("tiers"), api_version=changes.pop("version", "projectcalico.org/v3"))
    defaults: dict[str, Any] = {
        "target": target,
        "predicate": None,
        "representation": Representation(),
        "bookmarks": False,
        "initial_end": False,
        "deadline": 100.0,
    }
    return watches.Options(**(defaults | changes))


def stored(revision: int = 1) -> Stored:
    value = b'{"apiVersion":"projectcalico.org/v3","metadata":{"name":"t","resourceVersion":"%d"}}' % revision
    return Stored(Key("projectcalico.org", "tiers", "", "t"), value, revision)


def test_bytes_are_passed_on_as_they_are_stored() -> None:
    line = watches.Encoder(options()).changes([Event(EventType.ADDED, stored())])
    assert line == b'{"type":"ADDED","object":%s}\n' % stored().value


def test_another_version_is_converted() -> None:
    encoder = watches.Encoder(options(version="crd.projectcalico.org/v1"))
    line = encoder.changes([Event(EventType.DELETED, stored(), stored().value)])
    assert json.loads(line)["object"]["apiVersion"] == "crd.projectcalico.org/v1"
    assert json.loads(line)["type"] == "DELETED"


@pytest.mark.parametrize(
    ("form", "made"),
    [
        ({}, 1),
        ({"version": "crd.projectcalico.org/v1"}, 1),
        ({"representation": Representation(metadata=True)}, 1),
        ({"representation": Representation(table=True)}, 1),
        ({"predicate": lambda document: document["metadata"]["name"] == "t"}, 2),  # decoded, and encoded
    ],
)
def test_a_change_is_encoded_once_for_all_who_watch(form: dict[str, Any], made: int) -> None:
    shared = Encodings()
    event = Event(EventType.ADDED, stored())
    lines = [watches.Encoder(options(**form), shared).changes([event]) for _ in range(1000)]
    assert shared.made == made
    assert len(set(lines)) == 1
    assert json.loads(lines[0])["type"] == "ADDED"


def test_the_columns_of_a_table_come_once() -> None:
    shared, table = Encodings(), Representation(table=True)
    events = [Event(EventType.ADDED, stored(number)) for number in (1, 2)]
    early, late = (watches.Encoder(options(representation=table), shared) for _ in range(2))
    titles = [
        bool(json.loads(line)["object"]["columnDefinitions"])
        for line in (early.changes(events[:1]), early.changes(events[1:]), late.changes(events[1:]))
    ]
    assert titles == [True, False, True]


class Script:
    """A watch that hands out what the test says."""

    def __init__(self, *batches: Sequence[Event] | Compacted) -> None:
        self._batches = list(batches)
        self.revision = 5
        self.closed = False

    async def next(self, timeout: float | None = None) -> Sequence[Event]:  # noqa: ASYNC109 - as Watch.next
        batch = self._batches.pop(0)
        if isinstance(batch, Compacted):
            raise batch
        return batch

    def __aiter__(self) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


async def lines(
    script: Script, chosen: watches.Options, initial: Sequence[Stored] = ()
) -> list[dict[str, Any]]:
    found = [chunk async for chunk in watches.lines(chosen, initial, script, lambda: 0.0)]
    return [json.loads(line) for chunk in found for line in chunk.splitlines()]


async def test_too_slow_ends_with_an_error_event() -> None:
    script = Script([Event(EventType.ADDED, stored())], Compacted(1, 9))
    found = await lines(script, options())
    assert [event["type"] for event in found] == ["ADDED", "ERROR"]
    assert found[1]["object"]["code"] == 410
    assert script.closed


async def test_bookmarks_come_only_to_those_who_ask() -> None:
    silent = await lines(Script([], Compacted(1, 9)), options())
    assert [event["type"] for event in silent] == ["ERROR"]
    asked = await lines(Script([], Compacted(1, 9)), options(bookmarks=True))
    assert asked[0]["type"] == "BOOKMARK"
    assert asked[0]["object"]["metadata"]["resourceVersion"] == "5"
    assert asked[0]["object"]["kind"] == "Tier"


async def test_initial_events_come_first() -> None:
    found = await lines(Script(Compacted(1, 9)), options(initial_end=True), [stored()])
    assert [event["type"] for event in found] == ["ADDED", "BOOKMARK", "ERROR"]


class Items(list[Stored]):
    """A list that can be missed."""


async def test_what_was_there_at_the_beginning_does_not_stay() -> None:
    items = Items([stored()])
    missed = weakref.ref(items)
    events = watches.lines(options(), items, Script([], Compacted(1, 9)), lambda: 0.0)
    del items
    assert b'"ADDED"' in await anext(events)
    assert b'"ERROR"' in await anext(events)
    assert missed() is None
