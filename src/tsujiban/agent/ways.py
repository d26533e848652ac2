"""Where a node looks for controllers: the addresses of its configuration, and those that it was told of.

What was told may be old, or a lie. So it never takes the place of what is configured, and however many of its
addresses lead nowhere, all configured ones are tried between any two of them. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tsujiban.wire.controllers import name_of, usable
from tsujiban.wire.messages import ControllerAddress


@dataclass(frozen=True, slots=True)
class Way:
    """To one controller. `name` is what its certificate must say."""

    host: str
    port: int
    name: str


class Ways:
    """All of them, and whose turn it is."""

    def __init__(self, configured: Sequence[tuple[str, int]], server_name: str = "") -> None:
        """`server_name` is what certificates of configured controllers must say when that is not their
        host."""
        self._configured = tuple(Way(host, port, server_name or host) for host, port in configured)
        self._told: tuple[Way, ...] = ()
        self._turn = 0
        self.known: tuple[ControllerAddress, ...] = ()  # what was told, as it may be remembered

    @property
    def all(self) -> tuple[Way, ...]:
        """The configured ones first."""
        return self._configured + self._told

    @property
    def present(self) -> Way:
        """The one whose turn it is."""
        count = len(self._configured)
        if not self._told:
            return self._configured[self._turn % count]
        round_, place = divmod(self._turn, count + 1)
        return self._told[round_ % len(self._told)] if place == count else self._configured[place]

    def turn(self) -> None:
        """The next one's."""
        self._turn += 1

    def learn(self, known: Sequence[ControllerAddress], *, whole: bool) -> bool:
        """Take what was told: instead of what was before, when it is the `whole`, else beside it. Whether
        that is news."""
        found = usable(known if whole else (*known, *self.known))
        if found == self.known:
            return False
        configured = {(way.host, way.port) for way in self._configured}
        told = [
            Way(one.address, one.port, name_of(one.controller))
            for one in found
            if (one.address, one.port) not in configured
        ]
        self._told, self.known = tuple(told), found
        return True
