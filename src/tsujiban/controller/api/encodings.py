"""What was made of a change for one watcher, kept for the next: a change is encoded once, however many watch.

Changes are shared by all watches of an engine (`store.feed`), so a change is known by being the very same
object. What one watcher takes, a thousand others take within milliseconds, so few changes need be kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from tsujiban.store.protocol import Event

T = TypeVar("T")

KEPT = 256  # things made
KEPT_BYTES = 8 * 1024 * 1024  # of stored values that they were made of


class Encodings:
    """Things made of changes, each under a name: the form in which a client wants it."""

    def __init__(self, kept: int = KEPT, kept_bytes: int = KEPT_BYTES) -> None:
        self.made = 0  # how often something had to be made
        self._kept = kept
        self._kept_bytes = kept_bytes
        self._bytes = 0
        self._found: OrderedDict[tuple[int, Hashable], tuple[Event, Any]] = OrderedDict()

    def of(self, event: Event, form: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, or gave before for this change and form. Nobody may change it."""
        key = (id(event), form)
        known = self._found.get(key)
        if known is not None:  # the change is kept too, so no other can have its id
            found: T = known[1]
            return found
        made = make()
        self.made += 1
        self._found[key] = (event, made)
        self._bytes += len(event.stored.value)
        while len(self._found) > self._kept or (self._bytes > self._kept_bytes and len(self._found) > 1):
            _, (oldest, _) = self._found.popitem(last=False)
            self._bytes -= len(oldest.stored.value)
        return made
