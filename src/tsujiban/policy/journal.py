"""What changed, in order, so that each node can catch up from where it was.

One list serves all nodes. It is bounded: a node that fell further behind gets everything anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import islice

LIMIT = 1 << 17


class Table(StrEnum):
    """The tables of a NodeState."""

    ENDPOINTS = "endpoints"
    POLICIES = "policies"
    AUTHORIZATIONS = "authorizations"
    SETS = "sets"
    PEERS = "peers"
    SERVICES = "services"


Entry = tuple[Table, str]


class Journal:
    """Bounded list of changed entries; positions only grow."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._entries: list[Entry] = []
        self._start = 0
        self._limit = limit

    @property
    def position(self) -> int:
        """After the last entry."""
        return self._start + len(self._entries)

    def append(self, entry: Entry) -> None:
        """Note a change."""
        self._entries.append(entry)

    def trim(self) -> None:
        """Forget the older half when the list has grown too long."""
        if len(self._entries) > self._limit:
            excess = len(self._entries) - self._limit // 2
            del self._entries[:excess]
            self._start += excess

    def since(self, position: int) -> Iterator[Entry] | None:
        """Entries from a position on, repeats included; None when they are forgotten."""
        if position < self._start:
            return None
        return islice(self._entries, position - self._start, None)
