from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import pytest
from tests.support.wait import PATIENCE

from tsujiban.store import metadata
from tsujiban.store.etcd import follower, layout, messages
from tsujiban.store.etcd.client import EtcdClient
from tsujiban.store.etcd.follower import Batches
from tsujiban.store.feed import Feed, FeedWatch, Kind
from tsujiban.store.protocol import Compacted, Event, Key

PREFIX = b"/tsujiban/c/"


def event(name: str, revision: int, place: int = 0, *, deleted: bool = False, junk: bool = False) -> Any:
    draft = layout.draft(partial(metadata.created, json.dumps({"metadata": {"name": name}}).encode()))
    assert draft is not None
    path = layout.path(PREFIX, Key("", "pods", "d", name))
    packed = b"junk" if junk else draft.packed(place, bytes(8))
    pair = {"key": path, "value": packed, "mod_revision": revision, "create_revision": revision}
    if deleted:
        before = {**pair, "mod_revision": revision - 1}
        return {"type": messages.DELETE, "kv": {"key": path, "mod_revision": revision}, "prev_kv": before}
    return {"kv": pair}


def response(*events: Any, fragment: bool = False, revision: int = 0, created: bool = False) -> Any:
    return messages.WatchResponse(
        events=events, fragment=fragment, header={"revision": revision}, created=created
    )


def seen(batches: Batches, what: Any) -> tuple[list[tuple[str, int]], int]:
    events, revision = batches.add(what)
    return [(found.stored.key.name, found.revision) for found in events], revision


def test_changes_of_one_transaction_get_their_places() -> None:
    found = seen(Batches(PREFIX), response(event("a", 5), event("b", 6), event("c", 6, 1, deleted=True)))
    assert found == ([("a", 5 * 1024), ("b", 6 * 1024), ("c", 6 * 1024 + 1)], 6)


def test_a_transaction_in_fragments_is_published_whole() -> None:
    batches = Batches(PREFIX)
    assert seen(batches, response(event("a", 5), event("b", 6), fragment=True)) == ([("a", 5 * 1024)], 5)
    assert seen(batches, response(event("c", 6, 1, deleted=True), fragment=True)) == ([], 5)
    found, upto = seen(batches, response(event("d", 6, 2, deleted=True)))
    assert ([name for name, _ in found], upto) == (["b", "c", "d"], 6)
    assert [revision for _, revision in found] == [6 * 1024, 6 * 1024 + 1, 6 * 1024 + 2]


def test_a_notice_of_progress_says_how_far_all_is_known() -> None:
    batches = Batches(PREFIX)
    assert batches.add(response(revision=9, created=True)) == ([], 0)
    assert batches.add(response(revision=9)) == ([], 9)


def test_what_others_wrote_is_passed_over() -> None:
    batches = Batches(PREFIX)
    mark = {"kv": {"key": PREFIX + b".mark", "mod_revision": 4}}
    assert seen(batches, response(mark, event("x", 5, junk=True), event("a", 6))) == ([("a", 6 * 1024)], 6)


class Etcd:
    """Whose first watch ends as nobody has thought of, and whose second one tells of `told`."""

    def __init__(self, failure: BaseException, *told: Any) -> None:
        self.failure: BaseException | None = failure
        self.told = told
        self.begun: list[int] = []

    @asynccontextmanager
    async def watch(self, **fields: Any) -> AsyncIterator[AsyncIterator[Any]]:
        self.begun.append(fields["start_revision"])
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        yield self._responses()

    async def _responses(self) -> AsyncIterator[Any]:
        for one in self.told:
            yield response(one)
        await asyncio.sleep(PATIENCE)


@pytest.mark.parametrize("failure", [AttributeError("of a library"), asyncio.CancelledError()])
def test_a_watch_that_fails_as_nobody_has_thought_of_begins_anew_where_etcd_is(
    failure: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A controller that stands by would answer for ever, and never hear of anything again."""
    monkeypatch.setattr(follower, "PAUSE_SECONDS", 0.0)

    async def none(after: int, _kind: Kind | None) -> tuple[Sequence[Event], int]:
        raise Compacted(after, feed.floor)

    async def mark() -> int:
        return 7

    async def story() -> None:
        watch = FeedWatch(feed, layout.last(4), None)
        following = asyncio.create_task(follower.follow(cast(EtcdClient, etcd), PREFIX, feed, mark))
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(Compacted):
                await watch.next()
            (change,) = await FeedWatch(feed, layout.last(7), None).next()
        assert change.stored.key.name == "a"
        following.cancel()
        await asyncio.wait([following])
        assert following.cancelled()

    etcd, feed = Etcd(failure, event("a", 8)), Feed(layout.last(4), none)
    asyncio.run(story())
    assert etcd.begun == [5, 8]
