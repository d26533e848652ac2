"""Who is in each set, with a short history, so that a node can be told differences only.

A set exists while a policy refers to it. Members are counted, because two endpoints may bring
the same member; what counts is whether anybody does.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import cast

from tsujiban.policy.definitions import SetDefinition
from tsujiban.policy.program import AddressSet, Member, ServiceMember, ServiceSet, SetChange

AnyMember = Member | ServiceMember

HISTORY = 64  # shortest history that is kept, in changes; longer ones up to the set's size


class SetState:
    """One set: members by count, and the changes since `base`."""

    __slots__ = ("base", "changes", "counts", "definition", "users")

    def __init__(self, definition: SetDefinition) -> None:
        self.definition = definition
        self.users = 0
        self.counts: dict[AnyMember, int] = {}
        self.changes: list[AnyMember] = []
        self.base = 0

    @property
    def version(self) -> int:
        """Grows with every change of the members."""
        return self.base + len(self.changes)

    def add(self, members: Iterable[AnyMember]) -> bool:
        """Count members in; whether the set changed."""
        changed = False
        counts = self.counts
        for member in members:
            count = counts.get(member, 0)
            counts[member] = count + 1
            if not count:
                self.changes.append(member)
                changed = True
        return changed

    def remove(self, members: Iterable[AnyMember]) -> bool:
        """Count members out; whether the set changed."""
        changed = False
        counts = self.counts
        for member in members:
            count = counts[member] - 1
            if count:
                counts[member] = count
            else:
                del counts[member]
                self.changes.append(member)
                changed = True
        return changed

    def forget_history(self) -> None:
        """After filling: nobody had the set before."""
        self.base += len(self.changes)
        self.changes.clear()

    def trim(self) -> None:
        """Keep the history shorter than the set itself."""
        excess = len(self.changes) - max(HISTORY, len(self.counts))
        if excess > 0:
            del self.changes[:excess]
            self.base += excess

    def full(self) -> SetChange:
        """All members."""
        return self._change(True, frozenset(self.counts), frozenset())

    def since(self, version: int) -> SetChange | None:
        """What changed since a version, for who had it; None when nothing did in the end.

        A member that changed an even number of times is as it was.
        """
        if version < self.base:
            return self.full()
        touched: dict[AnyMember, int] = {}
        for member in islice(self.changes, version - self.base, None):
            touched[member] = touched.get(member, 0) + 1
        added = frozenset(m for m, n in touched.items() if n % 2 and m in self.counts)
        removed = frozenset(m for m, n in touched.items() if n % 2 and m not in self.counts)
        if not added and not removed:
            return None
        return self._change(False, added, removed)

    def _change(self, full: bool, added: frozenset[AnyMember], removed: frozenset[AnyMember]) -> SetChange:
        if self.definition.is_service:
            return SetChange(
                full=full,
                service=True,
                added_services=cast("frozenset[ServiceMember]", added),
                removed_services=cast("frozenset[ServiceMember]", removed),
            )
        return SetChange(
            full=full,
            added=cast("frozenset[Member]", added),
            removed=cast("frozenset[Member]", removed),
        )

    def compiled(self) -> AddressSet | ServiceSet:
        """The set as the program has it."""
        if self.definition.is_service:
            members = cast("frozenset[ServiceMember]", frozenset(self.counts))
            return ServiceSet(id=self.definition.id, members=members)
        return AddressSet(id=self.definition.id, members=cast("frozenset[Member]", frozenset(self.counts)))
