"""Events: what happened to an object, for `kubectl events` and at the end of `kubectl describe`.

They are derived from changes of the world, in one place, so that no reconciler has to remember to tell.
Telling is nobody's duty: they are written beside the control loop, what is said again is counted, and what
the store has no time for is dropped. Reasons are Kubernetes' own where it has some. Source: Kubernetes API
reference, "Event v1".
"""

from __future__ import annotations

import asyncio
import calendar
import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import structlog

from tsujiban.controller import revocations
from tsujiban.controller.loop import Change
from tsujiban.controller.reconcile.actions import Action, Delete
from tsujiban.controller.reconcile.unserved import unserved
from tsujiban.controller.serviceclaims import PORT
from tsujiban.controller.world import (
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Json,
    Ref,
    World,
    controller_of,
    is_terminating,
    stamp,
)
from tsujiban.resources import revoked
from tsujiban.store.protocol import Key, NotFound, Store, StoreError

log = structlog.get_logger(__name__)

EVENTS = ("", "events")
SOURCE = "tsujiban"
KEPT_SECONDS = 3600.0  # as a real server keeps them
_NORMAL, _WARNING = "Normal", "Warning"
_ON_ITS_WAY = ("ContainerCreating", "PodInitializing")
_WAITING = 1000  # that may wait for the store
_REMEMBERED = 4096  # that are counted when they are said again


class Happened(NamedTuple):
    """Something happened to an object."""

    kind: str
    api_version: str
    namespace: str
    name: str
    uid: str
    type: str
    reason: str
    message: str


def of(world: World, change: Change) -> Iterator[Happened]:
    """What a change of the world means to those who look."""
    kind = change.ref[:2]
    if kind == PODS:
        yield from _of_pod(world, change.ref, change.old, change.new)
    elif kind == NODES and change.new is not None:
        yield from _of_node(change.ref, change.old, change.new)
    elif change.ref == revocations.REF and change.new is not None:
        yield from _of_list(change.old, change.new)
    elif kind == REPLICA_SETS and change.new is not None:
        yield from _of_replica_set(world, change.ref, change.old, change.new)
    elif kind == JOBS:
        if change.old is None or change.new is None:
            yield from _of_owner(world, change.ref, change.old, change.new)
        if change.new is not None:
            yield from _of_job(change.old or {}, change.new)
    elif kind == STATEFUL_SETS and change.new is not None and change.old is None:
        for text in unserved(STATEFUL_SETS, change.new):
            yield _about(change.new, "apps/v1", "StatefulSet", _WARNING, "FailedCreate", text)


def _of_list(old: Json | None, new: Json) -> Iterator[Happened]:
    """The list of revoked certificates."""
    before, faults = (
        revoked.read((one.get("data") or {}).get(revoked.FIELD, "")).faults for one in (old or {}, new)
    )
    if faults and faults != before:
        yield _about(new, "v1", "ConfigMap", _WARNING, "UnreadableEntry", revoked.told(faults))


def not_signed(pod: Json, reason: str) -> Happened:
    """A pod got no certificate."""
    return _about(pod, "v1", "Pod", _WARNING, "IdentityRevoked", reason)


def shared(service: Json, claim: str) -> Happened:
    """A service has an address, or a port of the nodes, that is another's."""
    what = claim.removeprefix(PORT)
    reason, thing = (
        ("PortAlreadyAllocated", f"Port {what}")
        if claim.startswith(PORT)
        else ("ClusterIPAlreadyAllocated", f"Cluster IP {what}")
    )
    text = f"{thing} was assigned to multiple services; please recreate service"
    return _about(service, "v1", "Service", _WARNING, reason, text)


def _of_pod(world: World, ref: Ref, old: Json | None, new: Json | None) -> Iterator[Happened]:
    if old is None or new is None:
        yield from _of_owner(world, ref, old, new)
    if new is None:
        return
    before = old or {}
    node = new["spec"].get("nodeName", "")
    if node and node != (before.get("spec") or {}).get("nodeName"):
        yield _about(new, "v1", "Pod", _NORMAL, "Scheduled", f"assigned {ref.namespace}/{ref.name} to {node}")
    why = _condition(new, "PodScheduled")
    if why.get("status") == "False" and why != _condition(before, "PodScheduled"):
        yield _about(new, "v1", "Pod", _WARNING, "FailedScheduling", str(why.get("message", "")))
    unlimited = _condition(new, "tsujiban.io/LimitsEnforced")
    if unlimited and not _condition(before, "tsujiban.io/LimitsEnforced"):
        yield _about(new, "v1", "Pod", _WARNING, "LimitsNotEnforced", str(unlimited.get("message", "")))
    known = {c.get("name"): c for c in _containers(before)}
    for container in _containers(new):
        yield from _of_container(new, known.get(container.get("name")) or {}, container)
    target = _condition(new, "DisruptionTarget")
    if target and not _condition(before, "DisruptionTarget"):
        yield _about(new, "v1", "Pod", _WARNING, "TaintManagerEviction", str(target.get("message", "")))
    if is_terminating(new) and old is not None and not is_terminating(old):
        yield _about(new, "v1", "Pod", _NORMAL, "Killing", "stopping the containers")


def _of_container(pod: Json, before: Json, now: Json) -> Iterator[Happened]:
    name, state, was = now.get("name"), now.get("state") or {}, before.get("state") or {}
    running, waiting, over = (state.get(part) for part in ("running", "waiting", "terminated"))
    if running and running != was.get("running"):
        yield _about(pod, "v1", "Pod", _NORMAL, "Started", f"started container {name}")
    if waiting and waiting != was.get("waiting") and waiting.get("reason") not in _ON_ITS_WAY:
        if waiting.get("reason") == "CrashLoopBackOff":
            text = f"container {name} ended, and is started again after a pause"
            yield _about(pod, "v1", "Pod", _WARNING, "BackOff", text)
        elif waiting.get("reason") == "CreateContainerConfigError":
            yield _about(pod, "v1", "Pod", _WARNING, "Failed", f"Error: {waiting.get('message')}")
        else:
            text = f"container {name}: {waiting.get('message') or waiting.get('reason')}"
            yield _about(pod, "v1", "Pod", _WARNING, "Failed", text)
    if over and over != was.get("terminated") and over.get("exitCode"):
        yield _about(pod, "v1", "Pod", _WARNING, "Failed", f"container {name} ended with {over['exitCode']}")
    if running and running == was.get("running") and before.get("ready") and not now.get("ready"):
        yield _about(pod, "v1", "Pod", _WARNING, "Unhealthy", f"container {name} is not ready any more")


# what makes others, by its kind
_MAKERS = {
    "ReplicaSet": REPLICA_SETS,
    "DaemonSet": DAEMON_SETS,
    "Job": JOBS,
    "StatefulSet": STATEFUL_SETS,
    "CronJob": CRON_JOBS,
}


def _of_owner(world: World, ref: Ref, old: Json | None, new: Json | None) -> Iterator[Happened]:
    """To what has made a pod or a job."""
    owner = controller_of(new or old or {"metadata": {}})
    kind = _MAKERS.get(owner.get("kind", "")) if owner else None
    found = world.find(kind, ref.namespace, owner["name"]) if owner and kind else None
    if owner is None or found is None:
        return
    reason, verb = ("SuccessfulCreate", "created") if new is not None else ("SuccessfulDelete", "deleted")
    what = f"{verb} {ref.resource.removesuffix('s')} {ref.name}"
    yield _about(found, owner["apiVersion"], owner["kind"], _NORMAL, reason, what)


def _of_replica_set(world: World, ref: Ref, old: Json | None, new: Json) -> Iterator[Happened]:
    before, now = ((one or {}).get("spec", {}).get("replicas", 0) for one in (old, new))
    owner = controller_of(new)
    if before == now or owner is None:
        return
    found = world.find(DEPLOYMENTS, ref.namespace, owner["name"])
    if found is not None:
        text = f"scaled {'up' if now > before else 'down'} replica set {ref.name} from {before} to {now}"
        yield _about(found, "apps/v1", "Deployment", _NORMAL, "ScalingReplicaSet", text)


def _of_job(old: Json, new: Json) -> Iterator[Happened]:
    """How it ends, and when it is held up."""
    for name, status, of_type in (
        ("Complete", "True", _NORMAL),
        ("Failed", "True", _WARNING),
        ("Suspended", "True", _NORMAL),
        ("Suspended", "False", _NORMAL),
    ):
        now = _condition(new, name)
        if now.get("status") == status != _condition(old, name).get("status"):
            reason = "Completed" if name == "Complete" else str(now.get("reason")).removeprefix("Job")
            text = "Job completed" if name == "Complete" else str(now.get("message"))
            yield _about(new, "batch/v1", "Job", of_type, reason, text)


def _of_node(ref: Ref, old: Json | None, new: Json) -> Iterator[Happened]:
    status = _condition(new, "Ready").get("status")
    if old is None:
        yield _about(new, "v1", "Node", _NORMAL, "RegisteredNode", f"node {ref.name} is registered")
    elif status != _condition(old, "Ready").get("status"):
        reason = "NodeReady" if status == "True" else "NodeNotReady"
        text = str(_condition(new, "Ready").get("message") or f"Ready is {status}")
        yield _about(new, "v1", "Node", _NORMAL if status == "True" else _WARNING, reason, text)
    cordoned = [bool((one.get("spec") or {}).get("unschedulable")) for one in (old or {}, new)]
    if cordoned[0] != cordoned[1]:
        reason = "NodeNotSchedulable" if cordoned[1] else "NodeSchedulable"
        text = f"node {ref.name} is {'closed' if cordoned[1] else 'open'} to new pods"
        yield _about(new, "v1", "Node", _NORMAL, reason, text)


def _about(obj: Json, api_version: str, kind: str, of_type: str, reason: str, message: str) -> Happened:
    head = obj["metadata"]
    return Happened(
        kind,
        api_version,
        head.get("namespace", ""),
        head["name"],
        head.get("uid", ""),
        of_type,
        reason,
        message,
    )


def _condition(obj: Json, name: str) -> Json:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((dict(c) for c in conditions if c.get("type") == name), {})


def _containers(pod: Json) -> list[Json]:
    status = pod.get("status") or {}
    listed = (status.get(field) for field in ("initContainerStatuses", "containerStatuses"))
    return [one for found in listed if isinstance(found, list) for one in found if isinstance(one, dict)]


def expired(world: World, ref: Ref, now: float) -> list[Action]:
    """Take an event away when its time is over."""
    event = world.get(ref)
    if event is None:
        return []
    last = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
    try:
        seen = calendar.timegm(time.strptime(str(last)[:19], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        seen = 0
    return [Delete(ref)] if now - seen > KEPT_SECONDS else []


class Recorder:
    """Writes events. Run `run` as a task."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: asyncio.Queue[Happened] = asyncio.Queue(maxsize=_WAITING)
        self._said: OrderedDict[Happened, Key] = OrderedDict()
        self._number = 0

    def observe(self, world: World, change: Change) -> None:
        """Have what a change means written, soon."""
        for happened in of(world, change):
            self.tell(world, happened)

    def tell(self, world: World, happened: Happened) -> None:
        """Have it written, soon."""
        if happened.namespace and world.find(NAMESPACES, "", happened.namespace) is None:
            return  # it is going, with all that is in it
        if self._queue.full():
            log.warning("too much happens: an event is not written", reason=happened.reason)
            return
        self._queue.put_nowait(happened)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            happened = await self._queue.get()
            try:
                if not await self._again(happened):
                    await self._anew(happened)
            except StoreError as error:
                log.debug("an event is not written", error=str(error))

    async def _again(self, happened: Happened) -> bool:
        """Count an event that is there; whether it was."""
        key = self._said.get(happened)
        if key is None:
            return False
        try:
            stored = await self._store.get(key)
        except NotFound:
            return False
        event: Json = msgspec.json.decode(stored.value)
        counted = {**event, "count": event.get("count", 1) + 1, "lastTimestamp": stamp(time.time())}
        await self._store.update(key, msgspec.json.encode(counted), stored.revision)
        return True

    async def _anew(self, happened: Happened) -> None:
        self._number += 1
        now = time.time()
        name = f"{happened.name[:200]}.{int(now * 1e9):x}{self._number % 256:02x}"
        key = Key(*EVENTS, happened.namespace or "default", name)
        about = {
            "kind": happened.kind,
            "apiVersion": happened.api_version,
            "namespace": happened.namespace,
            "name": happened.name,
            "uid": happened.uid,
        }
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": key.namespace},
            "involvedObject": {field: value for field, value in about.items() if value},
            "type": happened.type,
            "reason": happened.reason,
            "message": happened.message[:1024],
            "source": {"component": SOURCE},
            "reportingComponent": SOURCE,
            "firstTimestamp": stamp(now),
            "lastTimestamp": stamp(now),
            "count": 1,
        }
        await self._store.create(key, msgspec.json.encode(event))
        self._said[happened] = key
        while len(self._said) > _REMEMBERED:
            self._said.popitem(last=False)
