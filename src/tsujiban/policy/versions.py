"""Large mappings and sets that change a little at a time, and whose every version stays what it was.

The newest version owns the one table there is; an older one is the difference to the version after it. So
a change costs what changes, however large the table is; two versions are compared by walking the
differences between them; and whoever still holds an old version (after a failure, say) may read it, at
the price of a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

_ABSENT: Any = object()


class Versioned(Mapping[K, V]):
    """One version of a mapping. Immutable to look at; not thread-safe while `changed` is called."""

    __slots__ = ("_come", "_gone", "_next", "_table")

    def __init__(self, content: Mapping[K, V] | Iterable[tuple[K, V]] = ()) -> None:
        self._table: dict[K, V] | None = dict(content)
        self._next: Versioned[K, V] | None = None
        self._gone: dict[K, V] = {}
        self._come: dict[K, V] = {}

    def changed(self, gone: Iterable[K], come: Mapping[K, V]) -> Versioned[K, V]:
        """The version without the keys `gone` and with all of `come`."""
        made: Versioned[K, V] = Versioned()
        if self._next is not None or self._table is None:
            made._table = dict(self._content())
            _change(made._table, gone, come)
            return made
        made._table, self._table = self._table, None
        self._gone, self._come = _change(made._table, gone, come)
        self._next = made
        return made

    def __getitem__(self, key: K) -> V:
        return self._content()[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._content())

    def __len__(self) -> int:
        return len(self._content())

    def __repr__(self) -> str:
        return f"Versioned({self._content()!r})"

    def _content(self) -> dict[K, V]:
        if self._table is None:
            steps: list[Versioned[K, V]] = []
            newer: Versioned[K, V] = self
            while newer._table is None and newer._next is not None:
                steps.append(newer)
                newer = newer._next
            self._table = dict(newer._table or {})
            for step in reversed(steps):
                for key in step._come:
                    del self._table[key]
                self._table.update(step._gone)
        return self._table

    def until(self, newer: Mapping[K, V]) -> tuple[dict[K, V], dict[K, V]] | None:
        """What has gone and what has come from here to `newer`; None when that is no later version."""
        before: dict[K, V] = {}
        after: dict[K, V] = {}
        step: Versioned[K, V] = self
        while step is not newer:
            if step._next is None:
                return None
            for key, value in step._gone.items():
                before.setdefault(key, value)
                after[key] = _ABSENT
            for key, value in step._come.items():
                before.setdefault(key, _ABSENT)
                after[key] = value
            step = step._next
        gone = {key: value for key, value in before.items() if value is not _ABSENT and after[key] != value}
        come = {key: value for key, value in after.items() if value is not _ABSENT and before[key] != value}
        return gone, come


def _change(table: dict[K, V], gone: Iterable[K], come: Mapping[K, V]) -> tuple[dict[K, V], dict[K, V]]:
    """Change `table`; what has truly gone and come. A key with another value is both."""
    left = {key: table.pop(key) for key in gone if key in table}
    new: dict[K, V] = {}
    for key, value in come.items():
        old = left.get(key, _ABSENT) if key in left else table.get(key, _ABSENT)
        table[key] = value
        if old == value and old is not _ABSENT:
            left.pop(key, None)
            continue
        if old is not _ABSENT:
            left[key] = old
        new[key] = value
    return left, new


def difference(have: Mapping[K, V], want: Mapping[K, V]) -> tuple[dict[K, V], dict[K, V]]:
    """What has to go from `have`, and what has to come, to make `want`; with another value is both."""
    if have is want:
        return {}, {}
    if isinstance(have, Versioned) and (steps := have.until(want)) is not None:
        return steps
    gone = {key: value for key, value in have.items() if want.get(key, _ABSENT) != value}
    come = {key: value for key, value in want.items() if have.get(key, _ABSENT) != value}
    return gone, come


class VersionedSet(Set[K], Generic[K]):
    """One version of a set; equal to any other set of the same members."""

    __slots__ = ("_members",)

    def __init__(self, members: Iterable[K] = ()) -> None:
        self._members: Versioned[K, None] = Versioned(dict.fromkeys(members))

    def changed(self, removed: Iterable[K], added: Iterable[K]) -> VersionedSet[K]:
        """The version without `removed` and with `added`."""
        made: VersionedSet[K] = VersionedSet()
        made._members = self._members.changed(removed, dict.fromkeys(added))
        return made

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> Any:  # what `&`, `|` and `-` make
        return frozenset(it)

    def __contains__(self, member: object) -> bool:
        return member in self._members

    def __iter__(self) -> Iterator[K]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __hash__(self) -> int:
        return hash(frozenset(self))

    def __repr__(self) -> str:
        return f"VersionedSet({list(self)!r})"


def set_difference(have: Set[K], want: Set[K]) -> tuple[Iterable[K], Iterable[K]]:
    """The members that have to go from `have` and those that have to come, to make `want`."""
    if have is want:
        return (), ()
    if isinstance(have, VersionedSet) and isinstance(want, VersionedSet):
        steps = have._members.until(want._members)
        if steps is not None:
            return steps
    return have - want, want - have
