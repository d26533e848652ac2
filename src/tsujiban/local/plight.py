"""What a running cluster is still waiting for, and what its processes said last.

For whoever finds that something did not come about in time, and is about to take the cluster down with all
that could have told why: the demonstration when an act fails, and tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tsujiban.local.client import ApiError
from tsujiban.local.cluster import LocalCluster, NotRunning
from tsujiban.local.enforced import POLICIES
from tsujiban.local.unreachable import Unreachable
from tsujiban.resources.registry import KINDS, resolve
from tsujiban.supervise.client import ProcessStatus

Json = dict[str, Any]
LINES = 12  # of a log; and so many before them that complain
EVENTS = 30
_COMPLAINTS = ("warning", "error", "critical", "Traceback")
WIDTH = 300  # of a line
PODS = "/pods/"  # in the name of each process of a pod


def tell(cluster: LocalCluster) -> str:
    """All of it, as text of many lines; also of a cluster that does not answer."""
    waiting: set[str] = set()
    return "\n".join((*_said_by_api(cluster, waiting), *_said_by_processes(cluster, waiting)))


def _said_by_api(cluster: LocalCluster, waiting: set[str]) -> Iterator[str]:
    """Fills `waiting` with the UIDs of what something lacks."""
    try:
        with cluster.client() as client:
            yield from ailing(client.status())
            for kind in (one for one in KINDS if one.kind in (*POLICIES, "Pod")):
                for obj in client.list(kind)["items"]:
                    if found := lacking(obj):
                        waiting.add(obj["metadata"]["uid"])
                        yield from found
            yield from warned(client.list(resolve("events"))["items"])
    except (Unreachable, ApiError) as error:
        yield f"the API: {error}"


def _said_by_processes(cluster: LocalCluster, waiting: set[str]) -> Iterator[str]:
    """Of pods, only those of pods that lack something or that do not run well."""
    try:
        found = cluster.processes()
    except NotRunning as error:
        yield f"the supervisor: {error}"
        return
    for process in found:
        well = process.state == "running" and not process.restarts
        if PODS in process.name and well and not any(uid in process.name for uid in waiting):
            continue
        yield f"{process.name}: {process.state}, {process.restarts} restarts {process.error}".rstrip()
        yield from (f"    {line[:WIDTH]}" for line in _last_lines(process))


def _last_lines(process: ProcessStatus) -> list[str]:
    try:
        lines = Path(process.log).read_text(errors="replace").strip().splitlines()
    except OSError:  # it has gone since it was listed
        return []
    complaints = [line for line in lines[:-LINES] if any(word in line for word in _COMPLAINTS)]
    return [*complaints[-LINES:], *lines[-LINES:]]


def ailing(status: Json) -> list[str]:
    """The components that are not well."""
    return [
        f"{one['node'] or 'cluster'} {one['name']}: {one['detail'] or 'not healthy'}"
        for one in status["components"]
        if not one["healthy"]
    ]


def warned(events: list[Json]) -> list[str]:
    """What events warn of, the newest last."""
    found = sorted((one for one in events if one.get("type") == "Warning"), key=_time)
    return [
        f"event {one['involvedObject'].get('name')}: {one['reason']}: {one['message']}"
        for one in found[-EVENTS:]
    ]


def _time(event: Json) -> str:
    return str(event.get("lastTimestamp") or event["metadata"].get("creationTimestamp") or "")


def lacking(obj: Json) -> list[str]:
    """What an object's status says is not so, or not yet."""
    meta, status = obj["metadata"], obj.get("status") or {}
    who = f"{obj['kind']} {meta.get('namespace', '')}/{meta['name']}"
    if meta.get("deletionTimestamp"):
        who += " (ending)"
    conditions = status.get("conditions") or ()
    found = [
        f"{who}: {one['type']} is {one['status']}: {one.get('reason', '')} {one.get('message', '')}".rstrip()
        for one in conditions
        if one["status"] != "True"
    ]
    if not conditions:
        found.append(f"{who}: no status yet")
    if found and status.get("message"):
        found.append(f"{who}: {status['message']}")
    if found:
        containers = status.get("containerStatuses") or ()
        found += [f"{who}: container {one['name']}: {one.get('state')}" for one in containers]
    return found
