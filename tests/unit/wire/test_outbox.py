"""The outbox is a bounded FIFO in which newer news replaces older."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

import pytest
from tests.support.wait import PATIENCE

from tsujiban.wire.outbox import Outbox, OutboxFull

Message = tuple[str, int]  # key ("" for none), value


def key(message: Message) -> Hashable:
    return message[0] or None


def add(older: Message, newer: Message) -> Message | None:
    """Merges by adding; a negative value must not be merged."""
    return None if newer[1] < 0 else (older[0], older[1] + newer[1])


def drain(outbox: Outbox[Message]) -> list[Message]:
    async def take() -> list[Message]:
        return [await outbox.get() for _ in range(len(outbox))]

    return asyncio.run(take())


def test_fifo() -> None:
    outbox: Outbox[Message] = Outbox(10, key, add)
    messages = [("", 1), ("a", 2), ("", 1), ("b", 3)]
    for message in messages:
        outbox.put(message)
    assert drain(outbox) == messages
    assert len(outbox) == 0


def test_merges_in_the_place_of_the_older() -> None:
    outbox: Outbox[Message] = Outbox(10, key, add)
    for message in [("a", 1), ("b", 10), ("a", 2), ("", 5), ("b", 20)]:
        outbox.put(message)
    assert drain(outbox) == [("a", 3), ("b", 30), ("", 5)]


def test_what_was_taken_is_not_merged_into() -> None:
    outbox: Outbox[Message] = Outbox(10, key, add)
    outbox.put(("a", 1))
    assert drain(outbox) == [("a", 1)]
    outbox.put(("a", 2))
    assert drain(outbox) == [("a", 2)]


def test_refused_merge_keeps_both_and_later_ones_merge_into_the_newest() -> None:
    outbox: Outbox[Message] = Outbox(10, key, add)
    for message in [("a", 1), ("a", -5), ("a", 2)]:
        outbox.put(message)
    assert drain(outbox) == [("a", 1), ("a", -3)]


def test_taking_the_older_of_two_leaves_the_newer_mergeable() -> None:
    outbox: Outbox[Message] = Outbox(10, key, add)
    outbox.put(("a", 1))
    outbox.put(("a", -5))
    assert asyncio.run(outbox.get()) == ("a", 1)
    outbox.put(("a", 2))
    assert drain(outbox) == [("a", -3)]


def test_full_queue_refuses_but_still_merges() -> None:
    outbox: Outbox[Message] = Outbox(2, key, add)
    outbox.put(("a", 1))
    outbox.put(("", 1))
    with pytest.raises(OutboxFull, match="2 messages"):
        outbox.put(("b", 1))
    outbox.put(("a", 1))
    assert drain(outbox) == [("a", 2), ("", 1)]
    outbox.put(("b", 1))


def test_discard() -> None:
    outbox: Outbox[Message] = Outbox(10, key, add)
    for message in [("a", 1), ("b", 2), ("", 3)]:
        outbox.put(message)
    outbox.discard(lambda message: message[0] == "a")
    outbox.put(("a", 7))  # not into the discarded one
    outbox.put(("b", 1))
    assert drain(outbox) == [("b", 3), ("", 3), ("a", 7)]


def test_reader_waits_for_the_next() -> None:
    async def scenario() -> list[Message]:
        outbox: Outbox[Message] = Outbox(10, key, add)
        reader = asyncio.create_task(outbox.get())
        await asyncio.sleep(0)
        assert not reader.done()
        outbox.put(("a", 1))
        first = await asyncio.wait_for(reader, PATIENCE)
        reader = asyncio.create_task(outbox.get())
        await asyncio.sleep(0)
        outbox.put(("a", 2))
        return [first, await asyncio.wait_for(reader, PATIENCE)]

    assert asyncio.run(scenario()) == [("a", 1), ("a", 2)]
