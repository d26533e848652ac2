"""`/tsujiban/v1/status`: every component of the cluster, as last heard of."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Set
from pathlib import Path

from tsujiban import __version__
from tsujiban.controller.lead import LEADS
from tsujiban.controller.plane import Plane
from tsujiban.controller.world import NODES, Json
from tsujiban.store.protocol import Health, Store
from tsujiban.wire.messages import Component

STALE_SECONDS = 25.0  # nodes report every 10 s at least


class StatusReport:
    """Answers for the API."""

    def __init__(
        self,
        plane: Plane,
        certificate_expires: float,
        store: Store,
        role: Callable[[], str],
        connected: Callable[[], Set[str]],
        revocations: Callable[[], str] = lambda: "",
    ) -> None:
        """`role` is which one this controller has among others ("": alone); `connected` the nodes that have a
        stream to it, whomever they obey; `revocations` what is wrong with the list of revoked ones."""
        self._revocations = revocations
        self._plane = plane
        self._certificate_expires = certificate_expires
        self._store = store
        self._role = role
        self._connected = connected

    async def __call__(self) -> Json:
        """The report: {"healthy", "components": [{"node", ...}]}."""
        rows = [{"node": "", **_row(self._controller())}]
        rows += [{"node": "", **_row(_part(part))} for part in await self._store.health()]
        trouble = self._revocations()
        if trouble:
            listed = Component(name="revocations", healthy=False, detail=trouble, last_sync=time.time())
            rows.append({"node": "", **_row(listed)})
        now = time.time()
        for name, connected in sorted((await self._nodes()).items()):
            heard = self._plane.components.get(name)
            if heard is None or not connected or now - heard[0] > STALE_SECONDS:
                detail = "not heard of since it disconnected" if heard else "never heard of"
                rows.append({"node": name, **_row(Component(name="agent", healthy=False, detail=detail))})
            if heard is not None and connected:
                rows += [{"node": name, **_row(component)} for component in heard[1].components]
        return {"healthy": all(row["healthy"] for row in rows), "components": rows}

    @property
    def _stands_by(self) -> bool:
        return self._role() not in ("", LEADS)

    async def _nodes(self) -> dict[str, bool]:
        """All nodes, and whether each is connected. One that stands by has no world: it asks the store."""
        if self._stands_by:
            there = self._connected()
            return {
                item.key.name: item.key.name in there for item in (await self._store.list("", "nodes")).items
            }
        progress = self._plane.distributor.nodes
        return {
            ref.name: ref.name in progress and progress[ref.name].connected
            for ref, _ in self._plane.loop.world.all(NODES)
        }

    def _controller(self) -> Component:
        role, stands_by = self._role(), self._stands_by
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
