"""Keeps one table of the kernel equal to what a renderer wants.

What was programmed is remembered, so that a change costs in proportion to the change; at the
start, and whenever doubt arises, it is read back from the kernel instead. The keeper never
touches another table.
"""

from __future__ import annotations

from dataclasses import dataclass

from tsujiban.kernel.diff import elements_only, rebuild, remove, transaction
from tsujiban.kernel.elementwriter import Change as ElementChange
from tsujiban.kernel.elementwriter import ElementWriter
from tsujiban.kernel.held import Held, read
from tsujiban.kernel.nft import Nft, TransactionError
from tsujiban.kernel.table import FAMILY, Table

_MOST = 10_000  # elements that are changed one by one

_ABSENT = "No such file or directory"


@dataclass(frozen=True)
class Change:
    """What one application did. `commands` is 0 when the kernel held all of it already."""

    commands: int
    rebuilt: bool = False


class TableKeeper:
    """One table of the network namespace that `nft` belongs to."""

    def __init__(self, nft: Nft, name: str) -> None:
        self._nft = nft
        self.name = name
        self._held: Held | None = None
        self._known = False
        self._rules: dict[str, str] = {}
        self._writer = ElementWriter()

    def read(self) -> Held | None:
        """What the kernel holds now; None when there is no such table."""
        try:
            listing = self._nft.listing(f"list table {FAMILY} {self.name}")
        except TransactionError as error:
            if _ABSENT in error.output:
                return None
            raise
        return read(listing, self._rules)

    def apply(self, wanted: Table) -> Change:
        """Make the kernel hold `wanted`, in one transaction or not at all.

        Raises NftError; then what was in force before is in force still.
        """
        self._look()
        changes = elements_only(self._held, wanted)
        if changes is not None and self._write(changes):
            self._held = Held.of(wanted, self._held)
            return Change(sum(len(gone) + len(come) for _, gone, come in changes))
        text = transaction(self._held, wanted)
        rebuilt = self._held is None
        try:
            self._nft.run(text)
        except TransactionError:
            # somebody else changed the table under us: put the whole of it there
            text = rebuild(wanted)
            rebuilt = True
            self._known = False
            self._nft.run(text)
            self._known = True
        self._held = Held.of(wanted, self._held)
        return Change(text.count("\n"), rebuilt)

    def _write(self, changes: list[ElementChange]) -> bool:
        """Make changes of elements alone; whether they are in force."""
        if not changes:
            return True
        if sum(len(gone) + len(come) for _, gone, come in changes) > _MOST:
            return False  # what libnftables reads costs less than what it would spare
        try:
            self._writer.write(self.name, changes)
        except TransactionError:
            return False  # the table is not what it was: libnftables says more, and rebuilds
        return True

    def close(self) -> None:
        """Let go of the kernel."""
        self._writer.close()

    def elements(self, name: str) -> frozenset[str]:
        """Keys of one set or map, as in force; none when there is no such set."""
        self._look()
        held = self._held.sets.get(name) if self._held else None
        return frozenset(held.elements) if held else frozenset()

    def _look(self) -> None:
        if not self._known:
            self._held = self.read()
            self._known = True

    def differences(self) -> tuple[str, ...]:
        """How the kernel differs from what was last programmed, in words; () when it does not."""
        expected = self._held if self._known else None
        if expected is None:
            return ()
        return compare(expected, self.read())

    def forget(self) -> None:
        """Read the kernel again before the next application."""
        self._known = False

    def remove(self) -> None:
        """Take the table away, whole."""
        self._nft.run(remove(self.name))
        self._held, self._known = None, True


def compare(expected: Held, found: Held | None) -> tuple[str, ...]:
    """What is wrong with `found`, in words."""
    if found is None:
        return ("the table is gone",)
    wrong = []
    for name in sorted(expected.chains.keys() | found.chains.keys()):
        if expected.chains.get(name) != found.chains.get(name):
            wrong.append(f"chain {name} {_how(name in expected.chains, name in found.chains)}")
    for name in sorted(expected.sets.keys() | found.sets.keys()):
        if expected.sets.get(name) != found.sets.get(name):
            wrong.append(f"set {name} {_how(name in expected.sets, name in found.sets)}")
    if found.flags:
        wrong.append(f"the table is {', '.join(sorted(found.flags))}")
    for name in sorted(expected.counters ^ found.counters):
        wrong.append(f"counter {name} {_how(name in expected.counters, name in found.counters)}")
    return tuple(wrong)


def _how(expected: bool, found: bool) -> str:
    if expected and found:
        return "was changed"
    return "is gone" if expected else "is not ours"
