"""The latest flow records, in bounded memory, numbered so that a reader can follow.

Sequence numbers grow by one and never repeat; a reader that asks for what follows a number it
has seen gets no record twice, and sees by the numbers when it was too slow. When there is no room it is
a record of whoever has most that is forgotten (`fair`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

import msgspec

from tsujiban.flows.fair import Fair
from tsujiban.flows.record import FlowRecord

F = TypeVar("F", bound=FlowRecord)

DEFAULT_CAPACITY = 16384  # records, of about 1.25 kB as they come from a node: some 20 MB


class Numbered(NamedTuple, Generic[F]):
    """A record and its sequence number, from 1."""

    sequence: int
    flow: F


class FlowFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which records a reader wants; an empty clause matches all, clauses are a conjunction."""

    endpoint: str = ""
    verdict: str = ""
    post: str = ""
    rule: str = ""  # this rule, or all whose id begins so up to a slash
    peer: str = ""
    address: str = ""  # source or destination

    def matches(self, flow: FlowRecord) -> bool:
        """Whether the record is wanted."""
        return (
            self.endpoint in ("", flow.endpoint)
            and self.verdict in ("", flow.verdict)
            and self.post in ("", flow.post)
            and self.peer in ("", flow.peer)
            and self.address in ("", flow.source, flow.destination)
            and (self.rule in ("", flow.rule) or flow.rule.startswith(self.rule.rstrip("/") + "/"))
        )


ALL = FlowFilter()


class FlowRing(Generic[F]):
    """A ring of records. Not thread-safe; `wait` needs the event loop that `extend` runs in."""

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        """Raises ValueError for no capacity."""
        self._records: Fair[F] = Fair(capacity)
        self._news = asyncio.Event()

    def __len__(self) -> int:
        return len(self._records)

    @property
    def last(self) -> int:
        """Sequence number of the newest record ever added; 0 when there was none."""
        return self._records.last

    @property
    def first(self) -> int:
        """Sequence number of the oldest record still held; `last + 1` when none is."""
        return self._records.first

    def share_out(self, networks: Iterable[str]) -> None:
        """From now on pods have their addresses in these networks."""
        self._records.share_out(networks)

    def extend(self, flows: Iterable[F]) -> None:
        """Add records, oldest first; wakes waiting readers."""
        before = self.last
        for flow in flows:
            self._records.add(flow)
        if self.last != before:
            self._news.set()
            self._news = asyncio.Event()

    def query(self, since: int = 0, wanted: FlowFilter = ALL, limit: int | None = None) -> list[Numbered[F]]:
        """Wanted records with a number above `since`, oldest first; with `limit`, the newest so many."""
        found: list[Numbered[F]] = []
        for sequence, flow in self._records.newest_first():
            if sequence <= since or (limit is not None and len(found) >= limit):
                break
            if wanted.matches(flow):
                found.append(Numbered(sequence, flow))
        found.reverse()
        return found

    async def wait(self, since: int) -> None:
        """Return when there is a record with a number above `since`, wanted or not."""
        while self.last <= since:
            await self._news.wait()
