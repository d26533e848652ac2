"""How many watches one user may have open: a storm of them is told to come back, as the real server's
priority and fairness does, and leaves connections for everybody else.

Members of system:masters are exempt, as there: whoever is to end the storm gets in.
Source: Kubernetes documentation, "API Priority and Fairness".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

from starlette.responses import Response

from tsujiban.controller.api.errors import ApiError
from tsujiban.controller.api.handover import HandedOver
from tsujiban.controller.api.users import MASTERS, User

MAX_WATCHES = 512  # of a user
RETRY_SECONDS = 1


class Crowds:
    """Counts the watches of each user."""

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()

    async def within(self, user: User, begin: Callable[[], Awaitable[Response]]) -> Response:
        """What `begin` answers; it counts until its stream has ended.

        Raises:
            ApiError: 429, the user has as many as one may have; and what `begin` raises.
        """
        if MASTERS in user.groups:
            return await begin()
        name = user.name
        if self._count[name] >= MAX_WATCHES:
            message = f"user {name!r} has {MAX_WATCHES} watches open; end some, or try again later"
            raise ApiError(429, "TooManyRequests", message, {"retryAfterSeconds": RETRY_SECONDS})
        self._count[name] += 1
        try:
            response = await begin()
        except BaseException:
            self._leave(name)
            raise
        if isinstance(response, HandedOver):
            response.ended.append(lambda: self._leave(name))
        else:
            self._leave(name)
        return response

    def _leave(self, name: str) -> None:
        self._count[name] -= 1
        if not self._count[name]:
            del self._count[name]
