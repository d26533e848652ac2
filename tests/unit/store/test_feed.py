from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tsujiban.store.feed import Feed, FeedWatch, Kind
from tsujiban.store.protocol import Compacted, Event, EventType, Key, Stored, StoreUnavailable

pytestmark = pytest.mark.anyio


def event(revision: int, resource: str = "pods", size: int = 10) -> Event:
    return Event(EventType.ADDED, Stored(Key("", resource, "d", f"n{revision}"), b"x" * size, revision))


async def no_history(after: int, kind: Kind | None) -> tuple[Sequence[Event], int]:
    raise Compacted(after, after + 1)


PODS = ("", "pods")


async def test_hands_out_what_was_published_after_the_cursor_and_of_the_kind() -> None:
    feed = Feed(10, no_history)
    feed.publish([event(11), event(12, "nodes"), event(13)])
    watch = FeedWatch(feed, 11, PODS)
    assert [e.revision for e in await watch.next()] == [13]
    assert watch.revision == 13
    everything = FeedWatch(feed, 10, None)
    assert [e.revision for e in await everything.next()] == [11, 12, 13]


async def test_sleeps_until_its_kind_changes_and_then_knows_where_it_is() -> None:
    feed = Feed(0, no_history)
    watch = FeedWatch(feed, 0, PODS)
    waiting = asyncio.create_task(watch.next())
    await asyncio.sleep(0)
    feed.publish([event(1, "nodes")])
    await asyncio.sleep(0)
    assert not waiting.done()
    feed.publish([event(2)])
    assert [e.revision for e in await waiting] == [2]


async def test_idle_watch_of_a_quiet_kind_does_not_age() -> None:
    feed = Feed(0, no_history, max_events=2)
    watch = FeedWatch(feed, 0, PODS)
    waiting = asyncio.create_task(watch.next())
    await asyncio.sleep(0)
    for revision in range(1, 10):
        feed.publish([event(revision, "nodes")])
    feed.publish([event(10)])
    assert [e.revision for e in await waiting] == [10]


async def test_timeout_gives_nothing_and_moves_the_bookmark() -> None:
    feed = Feed(0, no_history, max_events=1)
    watch = FeedWatch(feed, 0, PODS)
    waiting = asyncio.create_task(watch.next(0.02))
    await asyncio.sleep(0)
    feed.publish([event(1, "nodes"), event(2, "nodes")])
    assert await waiting == ()
    assert watch.revision == 2


async def test_cancelled_wait_loses_nothing() -> None:
    feed = Feed(0, no_history)
    watch = FeedWatch(feed, 0, PODS)
    waiting = asyncio.create_task(watch.next())
    await asyncio.sleep(0)
    feed.publish([event(1)])
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert [e.revision for e in await watch.next(0.01)] == [1]


async def test_behind_the_ring_it_reads_history_in_order_without_repeats() -> None:
    kept = [event(n) for n in range(1, 8)]

    async def history(after: int, kind: Kind | None) -> tuple[Sequence[Event], int]:
        part = [e for e in kept if e.revision > after][:2]
        return part, part[-1].revision

    feed = Feed(0, history, max_events=3)
    watch = FeedWatch(feed, 0, PODS)
    feed.publish(kept)
    seen: list[int] = []
    while len(seen) < 7:
        seen += [e.revision for e in await watch.next(1)]
    assert seen == [1, 2, 3, 4, 5, 6, 7]


async def test_the_ring_is_bounded_in_bytes() -> None:
    feed = Feed(0, no_history, max_bytes=1000)
    feed.publish([event(n, size=400) for n in range(1, 6)])
    assert feed.recent(2) is None
    recent = feed.recent(3)
    assert recent is not None
    assert [e.revision for e in recent] == [4, 5]


async def test_too_slow_is_compacted() -> None:
    feed = Feed(0, no_history, max_events=2)
    watch = FeedWatch(feed, 0, PODS)
    feed.publish([event(1), event(2), event(3)])
    with pytest.raises(Compacted):
        await watch.next()


async def test_a_cursor_ahead_of_the_feed_gets_no_repeats() -> None:
    feed = Feed(0, no_history)
    watch = FeedWatch(feed, 2, PODS)  # somebody read revision 2 before it was published
    waiting = asyncio.create_task(watch.next())
    await asyncio.sleep(0)
    feed.publish([event(1), event(2)])
    await asyncio.sleep(0)
    feed.publish([event(3)])
    assert [e.revision for e in await waiting] == [3]


async def test_close_ends_iteration_and_closed_feed_says_so() -> None:
    feed = Feed(0, no_history)
    watch = FeedWatch(feed, 0, None)

    async def collect() -> list[int]:
        return [e.revision async for e in watch]

    task = asyncio.create_task(collect())
    await asyncio.sleep(0)
    feed.publish([event(1)])
    await asyncio.sleep(0)
    watch.close()
    assert await task == [1]
    other = FeedWatch(feed, 1, None)
    waiting = asyncio.create_task(other.next())
    await asyncio.sleep(0)
    feed.close()
    with pytest.raises(StoreUnavailable):
        await waiting


async def test_revisions_must_grow_and_may_leap() -> None:
    feed = Feed(3, no_history)
    feed.publish([event(10), event(20)])
    assert [e.revision for e in await FeedWatch(feed, 3, None).next()] == [10, 20]
    assert [e.revision for e in await FeedWatch(feed, 15, None).next()] == [20]
    with pytest.raises(ValueError, match="does not follow"):
        feed.publish([event(20)])


async def test_progress_moves_what_has_seen_everything() -> None:
    feed = Feed(0, no_history)
    feed.publish([event(1)])
    watch = FeedWatch(feed, 0, PODS)
    assert len(await watch.next()) == 1
    feed.progress(100)
    assert await watch.next(0.01) == ()
    assert watch.revision == 100
    feed.progress(50)
    assert feed.revision == 100


async def test_after_a_gap_everybody_behind_it_lists_again() -> None:
    feed = Feed(0, no_history)
    feed.publish([event(1)])
    behind, sleeping = FeedWatch(feed, 0, PODS), FeedWatch(feed, 1, PODS)
    waiting = asyncio.create_task(sleeping.next())
    await asyncio.sleep(0)
    feed.restart(50)
    for attempt in (behind.next(), waiting):
        with pytest.raises(Compacted):
            await attempt
    feed.publish([event(51)])
    assert [e.revision for e in await FeedWatch(feed, 50, PODS).next()] == [51]
