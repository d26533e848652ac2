"""`tsujiban down`: nothing is left, also of a cluster that was half made or whose supervisor died."""

from __future__ import annotations

import asyncio
import contextlib
import shutil

from tsujiban.agent import cgroups
from tsujiban.local import leftovers
from tsujiban.local.layout import Layout
from tsujiban.supervise.client import Refused, SupervisorClient, SupervisorGone


def down(name: str, *, keep_state: bool = False) -> bool:
    """Stop and remove a cluster; False when there was nothing of it. Raises ValueError for a bad name.

    `keep_state` leaves the store and the CA, so that `up` goes on where it was.
    """
    layout = Layout(name)
    existed = layout.run.exists() or layout.state.exists()
    asyncio.run(_shut_down(layout))
    existed = leftovers.remove(name) or existed
    cgroups.find().remove(name)
    shutil.rmtree(layout.run, ignore_errors=True)
    if not keep_state:
        shutil.rmtree(layout.state, ignore_errors=True)
    for root in (layout.run.parent, layout.state.parent):
        with contextlib.suppress(OSError):  # another cluster lives there, or nothing ever did
            root.rmdir()
    return existed


async def _shut_down(layout: Layout) -> None:
    try:
        async with SupervisorClient(layout.supervisor_socket) as supervisor:
            await supervisor.shutdown()
    except (SupervisorGone, Refused):
        return  # what it left is found by namespace
