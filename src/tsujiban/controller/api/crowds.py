"""How much that lasts one user may have open: a storm of watches is told to come back, as the real server's
priority and fairness does, and leaves connections for everybody else; nobody holds all sessions of a node.

Members of system:masters are exempt, as there: whoever is to end the storm gets in.
Source: Kubernetes documentation, "API Priority and Fairness".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.errors import too_many
from tsujiban.controller.api.users import MASTERS, User

MAX_WATCHES = 512  # of a user, flows that are followed among them
MAX_SESSIONS = 64  # of a user: logs, commands, forwarded ports; a node has 128


class Crowds:
    """Counts what lasts, of each user."""

    def __init__(self) -> None:
        self.open: Counter[str] = Counter()  # by kind
        self._count: Counter[tuple[str, str]] = Counter()

    def enter(self, user: User, wanted: Attributes) -> Callable[[], None]:
        """What is to be called when it has ended.

        Raises:
            ApiError: 429, the user has as many as one may have.
        """
        if not wanted.long_running:
            return _nothing
        kind, most = ("watches", MAX_WATCHES) if wanted.follows else ("sessions", MAX_SESSIONS)
        mark = (kind, user.name)
        if self._count[mark] >= most and MASTERS not in user.groups:
            raise too_many(f"user {user.name!r} has {most} {kind} open; end some, or try again later")
        self._count[mark] += 1
        self.open[kind] += 1
        return partial(self._leave, mark)

    def _leave(self, mark: tuple[str, str]) -> None:
        self.open[mark[0]] -= 1
        self._count[mark] -= 1
        if not self._count[mark]:
            del self._count[mark]


def _nothing() -> None:
    """For what does not last."""
