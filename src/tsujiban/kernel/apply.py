"""The kernel post: makes the kernel enforce a node's state, and keeps it so.

The policy table and the table of service addresses are two tables and two transactions; policy
comes first, so that no address is translated to a place that old policy would let through.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from tsujiban.kernel.keeper import TableKeeper
from tsujiban.kernel.nft import Nft
from tsujiban.kernel.render import TABLE, Rendered, Settings, render
from tsujiban.kernel.sets import SetMemory
from tsujiban.policy.program import NodeState


@dataclass(frozen=True)
class Applied:
    """What `sync` did."""

    revision: int
    commands: int  # nft commands that were needed; 0: the kernel held it all
    rebuilt: bool  # the table was made anew: counters started from zero
    took_us: int
    problems: tuple[str, ...] = ()  # what could not be enforced as written, and was denied instead


@dataclass(frozen=True)
class Verified:
    """What `verify` found and, if anything, repaired."""

    differences: tuple[str, ...] = ()


class KernelPost:
    """The policy table of the network namespace this is made in. Not thread-safe, and blocking."""

    def __init__(self, settings: Settings, nft: Nft | None = None) -> None:
        self._nft = nft or Nft()
        self._settings = settings
        self._keeper = TableKeeper(self._nft, TABLE)
        self._memory = SetMemory()
        self.rendered: Rendered | None = None  # what is in force

    def sync(self, state: NodeState, revision: int) -> Applied:
        """Enforce `state`, by the smallest change, in one transaction.

        Raises NftError when the kernel refuses; then what was in force before still is.
        """
        start = time.perf_counter_ns()
        rendered = render(state, self._settings, self._memory)
        change = self._keeper.apply(rendered.table)
        self.rendered = rendered
        return Applied(
            revision=revision,
            commands=change.commands,
            rebuilt=change.rebuilt,
            took_us=(time.perf_counter_ns() - start) // 1000,
            problems=rendered.problems,
        )

    def verify(self) -> Verified:
        """Compare the kernel with what was programmed, and repair what somebody else changed."""
        if self.rendered is None:
            return Verified()
        differences = self._keeper.differences()
        if differences:
            self._keeper.forget()
            self._keeper.apply(self.rendered.table)
        return Verified(differences)

    def close(self) -> None:
        """Let go of the kernel. What is in force stays in force."""
        self._nft.close()
