"""DaemonSet to Pods: one on each node that may run it, replaced node by node when the template changes. Pure.

A pod names its node by affinity, as Kubernetes' controller writes it, and is then placed like any other. A
node may run one when selector, affinity and taints allow it; one that runs leaves only for a NoExecute taint.
On a node there is never a second pod while the first is there, unless `maxSurge` says so.
Source: Kubernetes documentation, "DaemonSet", "Perform a Rolling Update on a DaemonSet".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from tsujiban.controller.reconcile import placement, revisions, taints
from tsujiban.controller.reconcile.actions import Action, Create, Delete, Planned, Update
from tsujiban.controller.reconcile.availability import available_at, next_one
from tsujiban.controller.reconcile.claims import claim
from tsujiban.controller.reconcile.deployments import share
from tsujiban.controller.reconcile.ending import ended
from tsujiban.controller.reconcile.podtemplates import named, pod_of, random_suffix
from tsujiban.controller.world import (
    NODES,
    Json,
    Ref,
    World,
    is_finished,
    is_ready,
    is_terminating,
    mapping,
    node_of,
)

# what its pods bear, whatever the template says
_BORNE = (
    (taints.NOT_READY, taints.NO_EXECUTE),
    (taints.UNREACHABLE, taints.NO_EXECUTE),
    ("node.kubernetes.io/disk-pressure", taints.NO_SCHEDULE),
    ("node.kubernetes.io/memory-pressure", taints.NO_SCHEDULE),
    ("node.kubernetes.io/pid-pressure", taints.NO_SCHEDULE),
    (taints.UNSCHEDULABLE, taints.NO_SCHEDULE),
)


class _Daemon(NamedTuple):
    """One pod that counts: it neither ends nor has ended."""

    ref: Ref
    pod: Json
    current: bool  # of the template of now
    since: float  # available from then on; infinity: not
    born: tuple[str, str]  # its age, for sorting


class _Place(NamedTuple):
    """A node, or a name of one that is gone."""

    runs: bool  # a pod should run here
    stays: bool  # a pod that runs here may
    any: bool  # there is a pod, were it one that ends
    pods: list[_Daemon]  # oldest first


class _Set(NamedTuple):
    """A DaemonSet, as it is now."""

    obj: Json
    digest: str
    now: float
    suffix: Callable[[], str]

    def pod(self, node: str) -> Create:
        """Its pod for a node."""
        template = self.obj["spec"]["template"]
        spec = {**_spec(template["spec"]), "affinity": placement.pin(template["spec"], node)}
        name = named(self.obj["metadata"]["name"], self.suffix())
        return Create(*pod_of(self.obj, template, name, labels={revisions.HASH: self.digest}, spec=spec))

    def available(self, daemon: _Daemon) -> bool:
        """Whether a pod is available now."""
        return daemon.since <= self.now


def plan(world: World, ref: Ref, now: float, suffix: Callable[[], str] = random_suffix) -> Planned:
    """What to write for one DaemonSet."""
    obj = world.get(ref)
    if obj is None or is_terminating(obj):
        return Planned([])
    this = _Set(obj, revisions.digest_of(obj), now, suffix)
    claimed = claim(world, obj)
    owned = claimed.pods
    places = _places(world, this, owned)
    used = {str((pod["metadata"].get("labels") or {}).get(revisions.HASH)) for _, pod in owned}
    actions = [*claimed.actions, *revisions.plan(world, obj, this.digest, used), *_over(owned)]
    surge, unavailable = _bounds(obj, sum(place.runs for place in places.values()))
    for node, place in places.items():
        actions += _manage(this, node, place, surge)
    if mapping(obj["spec"].get("updateStrategy")).get("type") != "OnDelete":
        actions += _surge(this, places, surge) if surge else _replace(this, places, unavailable)
    status = _status(this, places)
    if status != obj.get("status"):
        actions.append(Update(ref, {**obj, "status": status}))
    return Planned(actions, next_one([pod.since for place in places.values() for pod in place.pods], now))


def _spec(spec: Json) -> Json:
    """The tolerations of its pods: those that it names, and those that every daemon has."""
    own = [one for one in spec.get("tolerations") or () if isinstance(one, dict)]
    given = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in _BORNE]
    return {**spec, "tolerations": [*own, *(one for one in given if one not in own)]}


def _places(world: World, this: _Set, owned: list[tuple[Ref, Json]]) -> dict[str, _Place]:
    """By the name of the node: those that there are, and those that pods are for."""
    spec = this.obj["spec"]["template"]["spec"]
    asked, bearing = spec.get("nodeName"), {"spec": _spec(spec)}
    min_ready = this.obj["spec"].get("minReadySeconds", 0)
    pods: dict[str, list[_Daemon]] = defaultdict(list)
    present: set[str] = set()
    for pod_ref, pod in owned:
        name = node_of(pod) or placement.pinned(pod["spec"])
        present.add(name)
        if is_terminating(pod) or is_finished(pod):
            continue
        head = pod["metadata"]
        current = (head.get("labels") or {}).get(revisions.HASH) == this.digest
        born = (str(head.get("creationTimestamp", "")), pod_ref.name)
        pods[name].append(_Daemon(pod_ref, pod, current, available_at(pod, min_ready), born))
    places: dict[str, _Place] = {}
    for node_ref, node in world.all(NODES):
        name = node_ref.name
        wanted = asked in (None, "", name) and placement.wants(node, spec)
        runs = wanted and taints.admits(node, bearing)
        stays = wanted and (runs or taints.admits(node, bearing, effects=(taints.NO_EXECUTE,)))
        if runs or name in present:
            here = sorted(pods.pop(name, ()), key=lambda daemon: daemon.born)
            places[name] = _Place(runs, stays, name in present, here)
    for name, left in pods.items():
        places[name] = _Place(runs=False, stays=False, any=True, pods=left)
    return places


def _over(owned: list[tuple[Ref, Json]]) -> list[Action]:
    """Pods that have ended go; another comes when they are gone."""
    return [Delete(ref) for ref, pod in owned if is_finished(pod) and not is_terminating(pod)]


def _manage(this: _Set, node: str, place: _Place, surge: int) -> list[Action]:
    """One pod where one should be, none where none may be, one of several (two while one replaces the
    other)."""
    if place.runs and not place.any:
        return [this.pod(node)]
    if not place.stays:
        return [action for daemon in place.pods for action in ended(daemon.ref, daemon.pod, this.now)]
    kept = place.pods[:1]
    if surge and len(place.pods) > 1:
        kept = _kept(this, place.pods)
    return [
        action
        for daemon in place.pods
        if daemon not in kept
        for action in ended(daemon.ref, daemon.pod, this.now)
    ]


def _kept(this: _Set, pods: list[_Daemon]) -> list[_Daemon]:
    """Of several pods of a node those that stay: the oldest of each template; of the old one no longer than
    until the new one is available."""
    new = next((daemon for daemon in pods if daemon.current), None)
    old = next((daemon for daemon in pods if not daemon.current), None)
    if new is not None and (old is None or this.available(new) or not this.available(old)):
        return [new]
    return [daemon for daemon in (old, new) if daemon is not None]


def _bounds(obj: Json, desired: int) -> tuple[int, int]:
    """(how many nodes may have two, on how many there may be none)."""
    rolling = mapping(mapping(obj["spec"].get("updateStrategy")).get("rollingUpdate"))
    surge = share(rolling.get("maxSurge", 0), desired, up=True)
    unavailable = share(rolling.get("maxUnavailable", 1), desired, up=True)
    return surge, unavailable if surge or unavailable else 1


def _replace(this: _Set, places: dict[str, _Place], most: int) -> list[Action]:
    """Take old pods away: those that serve nobody at once, of the others as many as may be missing."""
    missing = 0
    useless: list[_Daemon] = []
    candidates: list[_Daemon] = []
    for place in places.values():
        if not place.runs:
            continue
        first = place.pods[0] if place.pods else None
        if first is None or (first.current and not this.available(first)):
            missing += 1
        elif not first.current:
            (candidates if this.available(first) else useless).append(first)
    chosen = [*useless, *candidates[: max(0, most - missing - len(useless))]]
    return [action for daemon in chosen for action in ended(daemon.ref, daemon.pod, this.now)]


def _surge(this: _Set, places: dict[str, _Place], most: int) -> list[Action]:
    """Have new pods beside old ones, on as many nodes as may have two."""
    double = 0
    useless: list[str] = []
    candidates: list[str] = []
    for node, place in places.items():
        if not place.runs or not place.pods:
            continue
        if len(place.pods) > 1:
            double += 1
        elif not place.pods[0].current:
            (candidates if this.available(place.pods[0]) else useless).append(node)
    return [this.pod(node) for node in [*useless, *candidates[: max(0, most - double)]]]


def _status(this: _Set, places: dict[str, _Place]) -> Json:
    desired = [place for place in places.values() if place.runs]
    first = [place.pods[0] for place in desired if place.pods]
    available = sum(any(map(this.available, place.pods)) for place in desired)
    status: Json = {
        "currentNumberScheduled": sum(place.any for place in desired),
        "numberMisscheduled": sum(place.any and not place.runs for place in places.values()),
        "desiredNumberScheduled": len(desired),
        "numberReady": sum(any(is_ready(one.pod) for one in place.pods) for place in desired),
        "observedGeneration": this.obj["metadata"].get("generation", 1),
        "updatedNumberScheduled": sum(daemon.current for daemon in first),
    }
    if available:
        status["numberAvailable"] = available
    if available < len(desired):
        status["numberUnavailable"] = len(desired) - available
    return status
