"""Shares out what the node's Envoy may have open among the pods that it serves.

It is one process, and when it has no descriptor left it takes nobody's connection. So when more than half of
them are used, pods of which it holds more than an equal part of that half get no new connection, in either
direction, until it is half empty again: refused in the pod's own network namespace (`kernel.redirect`). What
is open goes on, and so do all other pods. Below half, a pod may have as many as it likes.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from tsujiban.kernel import redirect
from tsujiban.kernel.nft import NftError
from tsujiban.proxy.site import PROXY_MARK
from tsujiban.proxy.sockdiag import count_of

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.5
_PART = 5  # of the time
_LIMIT = re.compile(r"^Max open files +(\d+)", re.MULTILINE)


def used(pid: int) -> tuple[int, int]:
    """How many descriptors a process has, and how many it may have. Raises OSError.

    Source: proc_pid_limits(5)."""
    found = _LIMIT.search(Path(f"/proc/{pid}/limits").read_text())
    return len(os.listdir(f"/proc/{pid}/fd")), int(found[1]) if found else 1 << 20  # "unlimited"


class Descriptors:
    """Those of one Envoy. `lock` is held while pods' redirects are looked after: whoever changes which pods
    there are holds it, too."""

    def __init__(self, uid: int, pid: Callable[[], int], pods: Callable[[], Mapping[str, str]]) -> None:
        """`uid` is the Envoy's, `pid` tells its process (0: none) and `pods` the network namespaces (paths)
        of those it serves."""
        self.lock = asyncio.Lock()
        self.crowded: frozenset[str] = frozenset()  # pods that get no new connection
        self._uid = uid
        self._pid = pid
        self._pods = pods

    async def keep(self) -> None:
        """Until cancelled."""
        pause = LOOK_SECONDS
        while True:
            await asyncio.sleep(pause)
            begun = time.monotonic()
            before = self.crowded
            async with self.lock:
                await self._look()
            if self.crowded != before:
                log.warning(
                    "the node's Envoy has half of its descriptors in use; pods with most of them get no more",
                    pods=sorted(self.crowded),
                )
            pause = max(LOOK_SECONDS, _PART * (time.monotonic() - begun))

    async def _look(self) -> None:
        pid, pods = self._pid(), self._pods()
        try:
            crowded = await asyncio.to_thread(self._crowded, pid, pods) if pid else frozenset()
        except OSError as error:
            log.error("what the node's Envoy has open cannot be told", reason=str(error))
            return
        for key in sorted((crowded ^ self.crowded) & pods.keys()):
            mine = redirect.Redirect(proxy_mark=PROXY_MARK, full=key in crowded)
            try:
                await asyncio.to_thread(redirect.apply, pods[key], mine)
            except (NftError, OSError) as error:
                log.error("a pod's share of the node's Envoy is not kept", pod=key, reason=str(error))
                crowded = crowded ^ {key}  # as before, and tried again
        self.crowded = crowded & pods.keys()

    def _crowded(self, pid: int, pods: Mapping[str, str]) -> frozenset[str]:
        open_, most = used(pid)
        if open_ <= most // 2:
            return frozenset()
        share = most // 2 // max(len(pods), 1)
        return frozenset(key for key, path in pods.items() if self._exceeds(key, path, share))

    def _exceeds(self, key: str, path: str, share: int) -> bool:
        try:
            return count_of(path, self._uid) > share
        except FileNotFoundError:  # the pod has just ended
            return False
        except OSError as error:
            log.error("what a pod has of the node's Envoy cannot be told", pod=key, reason=str(error))
            return key in self.crowded  # as before; others are looked after
