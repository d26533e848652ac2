"""A bounded queue of messages that a slow peer cannot make grow: newer news replaces older.

Pure but for the event that wakes the sender.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

M = TypeVar("M")

Key = Callable[[M], Hashable]
Merge = Callable[[M, M], "M | None"]


class OutboxFull(Exception):
    """More distinct messages wait than the limit."""


class _Slot(Generic[M]):
    __slots__ = ("message",)

    def __init__(self, message: M) -> None:
        self.message = message


class Outbox(Generic[M]):
    """FIFO of messages. A message whose `key` (not None) already waits is merged into that one
    by `merge(older, newer)`, in the older one's place; without `merge`, or when it returns None,
    both are kept."""

    def __init__(self, limit: int, key: Key[M], merge: Merge[M]) -> None:
        self._limit = limit
        self._key = key
        self._merge = merge
        self._slots: deque[_Slot[M]] = deque()
        self._last: dict[Hashable, _Slot[M]] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._slots)

    def put(self, message: M) -> None:
        """Queue `message`. Raises OutboxFull, with the queue unchanged."""
        key = self._key(message)
        waiting = self._last.get(key) if key is not None else None
        merged = self._merge(waiting.message, message) if waiting is not None else None
        if waiting is not None and merged is not None:
            waiting.message = merged
            return
        if len(self._slots) >= self._limit:
            raise OutboxFull(f"{self._limit} messages are waiting")
        slot = _Slot(message)
        self._slots.append(slot)
        if key is not None:
            self._last[key] = slot
        self._filled.set()

    async def get(self) -> M:
        """Wait for the oldest message and remove it. For one reader."""
        while not self._slots:
            self._filled.clear()
            await self._filled.wait()
        slot = self._slots.popleft()
        key = self._key(slot.message)
        if key is not None and self._last.get(key) is slot:
            del self._last[key]
        return slot.message

    def discard(self, unwanted: Callable[[M], bool]) -> None:
        """Drop the waiting messages for which `unwanted` is true."""
        self._slots = deque(slot for slot in self._slots if not unwanted(slot.message))
        kept = set(map(id, self._slots))
        self._last = {key: slot for key, slot in self._last.items() if id(slot) in kept}
