from __future__ import annotations

from collections.abc import Sequence

import pytest

from tsujiban.store.batches import Batches
from tsujiban.store.protocol import Event, EventType, Key, Stored, StoreUnavailable

pytestmark = pytest.mark.anyio


def change(number: int) -> Event:
    return Event(EventType.ADDED, Stored(Key("", "configmaps", "default", "a"), b"{}", number))


class Script(Batches):
    def __init__(self, *batches: Sequence[Event], closes: bool) -> None:
        self._batches = list(batches)
        self._closes = closes

    async def next(self, timeout: float | None = None) -> Sequence[Event]:  # noqa: ASYNC109 - as Watch.next
        if self._batches:
            return self._batches.pop(0)
        self._closed = self._closes
        raise StoreUnavailable("no more")


async def test_one_change_at_a_time_until_it_is_closed() -> None:
    watch = Script([change(1), change(2)], (), [change(3)], closes=True)
    assert [event.revision async for event in watch] == [1, 2, 3]
    assert [event async for event in watch] == []


async def test_what_else_ends_it_is_told() -> None:
    changes = aiter(Script([change(1)], closes=False))
    assert (await anext(changes)).revision == 1
    with pytest.raises(StoreUnavailable):
        await anext(changes)
