"""Running Envoys of another version than the installed one are replaced, one after the other, without loss.

A node may run hundreds of sidecars. All at once they would take twice their memory and all its processors,
and a version that does not work would be tried on all of them; so the next one begins when the one before
serves, and one that does not come to serve ends the round. It changes nothing: the old one goes on
(`agent.proxy_init`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from tsujiban.proxy import binary
from tsujiban.proxy.post import ProxyPost
from tsujiban.supervise.client import Refused

log = structlog.get_logger(__name__)

SERVES_SECONDS = 60.0


class Renewal:
    """The pods whose sidecars are to be renewed. `hand_over(key)` has a new Envoy take over from a pod's."""

    def __init__(self, post: ProxyPost, hand_over: Callable[[str], Awaitable[None]]) -> None:
        self._post = post
        self._hand_over = hand_over
        self._waiting: asyncio.Queue[str] = asyncio.Queue()

    def look(self, key: str) -> None:
        """A pod's sidecar is connected: have it renewed, if it is of another version."""
        if self._outdated(key):
            self._waiting.put_nowait(key)

    def _outdated(self, key: str) -> bool:
        there = self._post.versions(key)
        return bool(there) and binary.version() not in there

    async def run(self) -> None:
        """Until cancelled, or until a new Envoy does not come to serve."""
        version = binary.version()
        while True:
            key = await self._waiting.get()
            if not self._outdated(key):  # it has come back by itself, or is gone
                continue
            log.info("a new Envoy takes over", pod=key, old=self._post.versions(key), new=version)
            try:
                await self._hand_over(key)
                async with asyncio.timeout(SERVES_SECONDS):
                    await self._post.until_ready(key, version)
            except TimeoutError:
                if self._post.versions(key):
                    log.error("the new Envoy does not serve: no other pod gets it", pod=key, new=version)
                    return
            except (OSError, Refused) as error:
                log.warning("no new Envoy was started", pod=key, reason=str(error))
