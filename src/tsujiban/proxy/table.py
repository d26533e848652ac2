"""All decisions of one endpoint and direction, as a table: address by address, port by port.

A proxy is told of those for whom policy may allow anything. Whoever is in no row of a table is denied,
and the table can say by which rule, for it knows them all; so what a proxy holds does not grow with the
cluster, and what it refuses has its rule nevertheless (`unlisted`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from tsujiban.policy.addresses import contains, span
from tsujiban.policy.program import Frozen
from tsujiban.proxy.decisions import Decision

T = TypeVar("T")
LAST_PORT = 65535


class Interval(Frozen, frozen=True):
    """Ports first to last, and what becomes of a connection to them."""

    first: int
    last: int
    decision: Decision


Intervals = tuple[Interval, ...]


class Row(Frozen, frozen=True):
    """Addresses with the same decisions, which cover all ports in order."""

    prefixes: tuple[str, ...]
    intervals: Intervals


class Crowd(NamedTuple):
    """Many identities, which begin in the same way: what policy makes of whoever of them owns the address
    that he comes from. Of those who are not told from each other nobody is named."""

    prefix: str
    rows: tuple[Row, ...]
    closed: tuple[str, ...]  # networks, or parts of them, in which only rows are open
    rest: dict[int, Intervals | None]  # by IP version; None: closed


class Table:
    """What a proxy must hold: rows by proven identity ("" is none), of those for whom anything is allowed;
    `rest` decides for addresses in no row. Everybody else is denied: `unlisted` is asked why."""

    def __init__(
        self,
        rows: dict[str, tuple[Row, ...]],
        rest: dict[int, Intervals],  # by IP version
        unlisted: Callable[[str, str], Intervals | None],
        owned: tuple[str, ...] = (),
        closed: tuple[str, ...] = (),
        crowds: tuple[Crowd, ...] = (),
    ) -> None:
        """`unlisted` gives the decisions for a known (identity, address) in no row; None: not known. `owned`
        are networks in which an address that is not known is nobody's, `closed` those of them (or parts)
        that a rule names and in which nothing is open but to whom a row says so. `crowds` are there in place
        of rows where many may be let in; of two that an identity begins with, the longer one counts."""
        self.rows = rows
        self.rest = rest
        self.closed = closed
        self.crowds = crowds
        self._made: dict[str, tuple[tuple[object, ...], Any]] = {}
        self._unlisted = unlisted
        self._owned = owned

    @cached_property
    def _hosts(self) -> dict[tuple[str, str], Intervals]:
        return {
            (identity, prefix): row.intervals
            for identity, listed in self.rows.items()
            for row in listed
            for prefix in row.prefixes
        }

    @cached_property
    def _nets(self) -> list[tuple[str, Intervals]]:
        return [(one, row.intervals) for row in self.rows.get("", ()) for one in row.prefixes if "/" in one]

    def once(self, what: str, of: tuple[object, ...], make: Callable[[], T]) -> T:
        """What `make` makes of the table and of `of`: the same for all endpoints that share it."""
        if what not in self._made or self._made[what][0] != of:
            self._made[what] = of, make()
        made: T = self._made[what][1]
        return made

    def find(self, identity: str, address: str, port: int) -> Decision | None:
        """The decision for one flow. None: the identity, which is proven, does not own the address, or
        nobody does."""
        intervals = self.intervals(identity, address)
        if intervals is None:
            return None
        return next(one.decision for one in intervals if one.first <= port <= one.last)

    def intervals(self, identity: str, address: str) -> Intervals | None:
        """The decisions for one address, see `find`."""
        found = self._hosts.get((identity, address)) or self._unlisted(identity, address)
        if found is not None or identity or any(contains(one, address) for one in self._owned):
            return found
        around = [one for one in self._nets if contains(one[0], address)]
        if not around:
            return self.rest[span(address)[0]]
        return min(around, key=lambda one: _width(one[0]))[1]


def _width(net: str) -> int:
    _, first, last = span(net)
    return last - first
