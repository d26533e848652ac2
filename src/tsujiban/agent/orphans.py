"""What a former agent left of pods that nobody wants any more.

An agent that dies while a pod is ending forgets that pod: its processes, which are the
supervisor's, would run for ever, on an address that is somebody else's by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Set
from pathlib import Path

import structlog

from tsujiban.agent.cgroups import Groups
from tsujiban.agent.config import AgentConfig
from tsujiban.agent.containers import SANDBOXES, pod_prefix
from tsujiban.agent.etcfiles import Names
from tsujiban.agent.sandbox import Sandbox
from tsujiban.agent.sidecars import remove_directory
from tsujiban.network import links
from tsujiban.supervise.client import SupervisorClient
from tsujiban.wire.together import all_ended

log = structlog.get_logger(__name__)


async def remove(config: AgentConfig, supervisor: SupervisorClient, groups: Groups, keep: Set[str]) -> None:
    """Stop and remove everything of pods whose uid is not in `keep`. May be repeated.

    Raises OSError, NamespaceError, Refused; what was not removed is found the next time."""
    everything = f"{config.node}/pods/"
    names = [process.name for process in await supervisor.list(everything)]
    uids = {name.removeprefix(everything).partition("/")[0] for name in names}
    uids |= await asyncio.to_thread(_directories, config.run)
    for uid in sorted(uids - keep):
        log.warning("what is left of a pod is removed", uid=uid)
        mine = [name for name in names if name.startswith(pod_prefix(config.node, uid))]
        await all_ended(*(supervisor.stop(name, forget_log=True) for name in mine))
        await asyncio.to_thread(_remove, config, groups, uid)


def _directories(run: Path) -> set[str]:
    """The pods that have a directory of either sort."""
    parents = [run / SANDBOXES, run / "pods"]
    return {entry.name for parent in parents if parent.exists() for entry in parent.iterdir()}


def _remove(config: AgentConfig, groups: Groups, uid: str) -> None:
    links.delete(uid)
    remove_directory(config.run / "pods" / uid)
    directory = config.run / SANDBOXES / uid
    Sandbox(cluster=config.cluster, uid=uid, directory=directory, names=Names(hostname="")).remove()
    groups.remove(config.cluster, uid)
