"""Records in order, in bounded memory that is shared out among those whom they are about. Pure.

Of too many, the oldest of whoever has the most is forgotten, so that nobody's flood hides another's few.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Generic, TypeVar

from tsujiban.flows.record import FlowRecord

F = TypeVar("F", bound=FlowRecord)

OUTSIDE = ""  # all who are outside the pods' networks: whoever writes packets there may write any source


class Senders:
    """Who has caused a record: an endpoint that sent, or the address that an endpoint heard from."""

    def __init__(self, networks: tuple[str, ...] = ()) -> None:
        """`networks` are the pods', in which no pod can write another's address."""
        self.networks = networks
        self._nets = [ip_network(net, strict=False) for net in networks]
        self._known: Callable[[str], str] = lru_cache(1 << 14)(self._of)

    def __call__(self, flow: FlowRecord) -> str:
        """Endpoint, address or OUTSIDE."""
        return flow.endpoint if flow.direction == "egress" else self._known(flow.source)

    def _of(self, source: str) -> str:
        try:
            address = ip_address(source)
        except ValueError:
            return OUTSIDE
        return source if any(address in net for net in self._nets) else OUTSIDE


class Fair(Generic[F]):
    """At most `capacity` records, numbered from 1 as they come. Adding one costs the same however many there
    are, and of however many senders. Not thread-safe."""

    def __init__(self, capacity: int) -> None:
        """Raises ValueError for no capacity."""
        if capacity < 1:
            raise ValueError("room for at least one record is needed")
        self.last = 0  # number of the newest record ever added
        self.forgotten = 0  # records for which there was no room
        self._capacity = capacity
        self._sender = Senders()
        self._records: OrderedDict[int, tuple[str, F]] = OrderedDict()
        self._of: dict[str, deque[int]] = {}
        self._by_count: dict[int, dict[str, None]] = {}  # senders by how many records they have
        self._most = 0  # that somebody has

    def __len__(self) -> int:
        return len(self._records)

    @property
    def first(self) -> int:
        """Number of the oldest record; `last + 1` when there is none."""
        return next(iter(self._records), self.last + 1)

    def share_out(self, networks: Iterable[str]) -> None:
        """From now on pods have their addresses in these networks."""
        if tuple(networks) != self._sender.networks:
            self._sender = Senders(tuple(networks))

    def newest_first(self) -> Iterator[tuple[int, F]]:
        """All records with their numbers."""
        return ((number, flow) for number, (_, flow) in reversed(self._records.items()))

    def add(self, flow: F) -> None:
        """Keep a record, newer than all others."""
        sender = self._sender(flow)
        self.last += 1
        self._records[self.last] = sender, flow
        numbers = self._of.setdefault(sender, deque())
        numbers.append(self.last)
        self._count(sender, len(numbers) - 1, len(numbers))
        self._most = max(self._most, len(numbers))
        if len(self._records) > self._capacity:
            self.forgotten += 1
            self._remove(next(iter(self._by_count[self._most])))

    def take(self, count: int) -> tuple[F, ...]:
        """Remove the oldest records, up to `count`."""
        return tuple(
            self._remove(next(iter(self._records.values()))[0]) for _ in range(min(count, len(self)))
        )

    def _remove(self, sender: str) -> F:
        """The oldest record of `sender`."""
        numbers = self._of[sender]
        found = self._records.pop(numbers.popleft())[1]
        self._count(sender, len(numbers) + 1, len(numbers))
        if not numbers:
            del self._of[sender]
        while self._most and self._most not in self._by_count:
            self._most -= 1
        return found

    def _count(self, sender: str, before: int, now: int) -> None:
        if before:
            del self._by_count[before][sender]
            if not self._by_count[before]:
                del self._by_count[before]
        if now:
            self._by_count.setdefault(now, {})[sender] = None
