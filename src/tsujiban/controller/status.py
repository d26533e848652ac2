"""`/tsujiban/v1/status`: every component of the cluster, as last heard of."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from tsujiban import __version__
from tsujiban.controller.lead import LEADS
from tsujiban.controller.plane import Plane
from tsujiban.controller.world import NODES, Json
from tsujiban.store.protocol import Health
from tsujiban.wire.messages import Component

STALE_SECONDS = 25.0  # nodes report every 10 s at least


class StatusReport:
    """Answers for the API."""

    def __init__(
        self,
        plane: Plane,
        certificate_expires: float,
        store: Callable[[], Awaitable[Sequence[Health]]],
        role: Callable[[], str],
    ) -> None:
        """`store` tells how its parts are; `role` which one this controller has among others ("": alone)."""
        self._plane = plane
        self._certificate_expires = certificate_expires
        self._store = store
        self._role = role

    async def __call__(self) -> Json:
        """The report: {"healthy", "components": [{"node", ...}]}."""
        rows = [{"node": "", **_row(self._controller())}]
        rows += [{"node": "", **_row(_part(part))} for part in await self._store()]
        now = time.time()
        for ref, _ in sorted(self._plane.loop.world.all(NODES)):
            heard = self._plane.components.get(ref.name)
            progress = self._plane.distributor.nodes.get(ref.name)
            connected = progress is not None and progress.connected
            if heard is None or not connected or now - heard[0] > STALE_SECONDS:
                detail = "not heard of since it disconnected" if heard else "never heard of"
                rows.append({"node": ref.name, **_row(Component(name="agent", healthy=False, detail=detail))})
            if heard is not None and connected:
                rows += [{"node": ref.name, **_row(component)} for component in heard[1].components]
        return {"healthy": all(row["healthy"] for row in rows), "components": rows}

    def _controller(self) -> Component:
        role = self._role()
        stands_by = role not in ("", LEADS)
        enforced, nodes = self._plane.distributor.count(self._plane.distributor.revision)
        return Component(
            name="controller",
            healthy=stands_by or self._plane.loop.synced.is_set(),
            version=__version__,
            detail=role
            if stands_by
            else f"{role}{'; ' if role else ''}revision {self._plane.distributor.revision}"
            f" in force on {enforced}/{nodes} nodes",
            certificate_expires=self._certificate_expires,
            last_sync=time.time(),
            rss_bytes=_resident(),
        )


def _part(part: Health) -> Component:
    return Component(name=part.name, healthy=part.healthy, version=part.version, detail=part.detail)


def _row(component: Component) -> Json:
    return {name: getattr(component, name) for name in component.__struct_fields__}


def _resident() -> int:
    """Resident memory of this process, bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
