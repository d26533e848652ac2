"""StatefulSet to Pods with names of their own: `web-0`, `web-1`, made and taken away in order. Pure.

A pod of one name is never made before the one of that name is gone, wherever it ran. With OrderedReady each
waits for those before it; a template's change goes from the highest ordinal down, and stops at the partition.
Pods below it are made anew from the template of before, which the ControllerRevisions hold.
Source: Kubernetes documentation, "StatefulSets"; API reference, StatefulSet.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tsujiban.controller.reconcile import revisions
from tsujiban.controller.reconcile.actions import Action, Create, Delete, Planned, Update
from tsujiban.controller.reconcile.availability import available_at, next_one
from tsujiban.controller.reconcile.claims import adopted, fits
from tsujiban.controller.reconcile.deployments import share
from tsujiban.controller.reconcile.ending import ended
from tsujiban.controller.reconcile.podtemplates import may_make, named, pod_of
from tsujiban.controller.world import (
    PODS,
    Json,
    Ref,
    World,
    controller_of,
    is_finished,
    is_ready,
    is_terminating,
    mapping,
)

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"


class _Member(NamedTuple):
    """One pod of the set."""

    ordinal: int
    ref: Ref
    pod: Json
    revision: str
    since: float  # available from then on; infinity: not
    healthy: bool  # available now


class _Set(NamedTuple):
    """A StatefulSet, as it is now."""

    obj: Json
    now: float
    current: str  # revisions, by name
    update: str
    former: Json | None  # the template of `current`; None when nobody knows it any more

    @property
    def first(self) -> int:
        """Its lowest ordinal."""
        return int(mapping(self.obj["spec"].get("ordinals")).get("start") or 0)

    @property
    def replicas(self) -> int:
        """How many pods it wants."""
        return int(self.obj["spec"].get("replicas", 1))

    @property
    def rolling(self) -> Json | None:
        """How it is rolled over; None: not by us."""
        strategy = mapping(self.obj["spec"].get("updateStrategy"))
        return None if strategy.get("type") == "OnDelete" else mapping(strategy.get("rollingUpdate"))

    @property
    def parallel(self) -> bool:
        """Whether no pod waits for another."""
        return bool(self.obj["spec"].get("podManagementPolicy") == "Parallel")

    @property
    def partition(self) -> int:
        """The ordinal below which pods keep the template of before."""
        return self.first + int((self.rolling or {}).get("partition") or 0)


def plan(world: World, ref: Ref, now: float) -> Planned:
    """What to write for one StatefulSet."""
    obj = world.get(ref)
    if obj is None or is_terminating(obj):
        return Planned([])
    digest = revisions.digest_of(obj)
    update = named(ref.name, digest)
    current = str((obj.get("status") or {}).get("currentRevision") or update)
    former = revisions.template(world, obj, current) if current != update else None
    this = _Set(obj, now, current if former is not None else update, update, former)
    members = _members(world, this)
    used = {current.removeprefix(f"{ref.name}-"), digest, *(m.revision.rpartition("-")[2] for m in members)}
    actions = [*revisions.plan(world, obj, digest, used), *_steps(world, this, members)]
    status = _status(this, members)
    if status != obj.get("status"):
        actions.append(Update(ref, {**obj, "status": status}))
    return Planned(actions, next_one([member.since for member in members], now))


def _members(world: World, this: _Set) -> list[_Member]:
    """The pods that are there, by ordinal."""
    found: list[_Member] = []
    min_ready = this.obj["spec"].get("minReadySeconds", 0)
    for ref, pod in world.owned_by(this.obj["metadata"]["uid"], PODS):
        base, _, ordinal = ref.name.rpartition("-")
        if base == this.obj["metadata"]["name"] and ordinal.isascii() and ordinal.isdigit():
            revision = str((pod["metadata"].get("labels") or {}).get(revisions.HASH, ""))
            since = available_at(pod, min_ready)
            found.append(_Member(int(ordinal), ref, pod, revision, since, since <= this.now))
    return sorted(found)


def _steps(world: World, this: _Set, members: list[_Member]) -> list[Action]:
    """What may be done now: the next step in order, or all that need not wait."""
    wanted = range(this.first, this.first + this.replicas)
    there = {member.ordinal: member for member in members}
    actions: list[Action] = []
    room = max(1, may_make(this.replicas, (member.pod for member in members)))
    for ordinal in wanted:
        member = there.get(ordinal)
        if member is None and len(actions) >= room:
            return actions
        step = _fill(world, this, ordinal) if member is None else _replaced(member)
        actions += step
        if not this.parallel and (step or member is None or not member.healthy):
            return actions
    condemned = [member for member in reversed(members) if member.ordinal not in wanted]
    # one that has ended and is wanted no more gets well never, so nobody waits for it
    ill = (member.ordinal for member in members if not member.healthy and not is_finished(member.pod))
    sick = min(ill, default=None)
    for member in condemned:
        if not this.parallel and not member.healthy and sick not in (None, member.ordinal):
            return actions  # those below must be well before it goes
        actions += ended(member.ref, member.pod, this.now)
        if not this.parallel:
            return actions
    if not condemned:
        actions += _rolled(this, [there.get(ordinal) for ordinal in reversed(wanted)])
    return actions


def _replaced(member: _Member) -> list[Action]:
    """A pod that has ended goes; the next step makes another of its name."""
    return [Delete(member.ref)] if is_finished(member.pod) and not is_terminating(member.pod) else []


def _fill(world: World, this: _Set, ordinal: int) -> list[Action]:
    """The pod of an ordinal: one that was left behind by a set of the same name, or a new one."""
    name = f"{this.obj['metadata']['name']}-{ordinal}"
    ref = Ref(*PODS, this.obj["metadata"].get("namespace", ""), name)
    found = world.get(ref)
    if found is None:
        return [Create(*_pod(this, ordinal, name))]
    free = controller_of(found) is None and not is_terminating(found)
    if not free or not fits(this.obj["spec"].get("selector"), found):
        return []  # somebody else's: until it is gone
    return [Update(ref, adopted(found, this.obj))]


def _pod(this: _Set, ordinal: int, name: str) -> tuple[Ref, Json]:
    old = this.rolling is not None and ordinal < this.partition and this.former is not None
    template: Json = this.former if old and this.former else this.obj["spec"]["template"]
    labels = {
        revisions.HASH: this.current if old else this.update,
        POD_NAME: name,
        POD_INDEX: str(ordinal),
    }
    spec: Json = {"hostname": name, "subdomain": this.obj["spec"].get("serviceName", "")}
    claims = [mapping(claim) for claim in this.obj["spec"].get("volumeClaimTemplates") or ()]
    if claims:
        spec["volumes"] = _volumes(template["spec"].get("volumes") or (), claims, name)
    return pod_of(this.obj, template, name, labels=labels, spec=spec)


def _volumes(own: Any, claims: list[Json], pod: str) -> list[Json]:
    """The pod's volumes, those that it claims among them: its node says that it has none."""
    names = [str(mapping(claim.get("metadata")).get("name", "")) for claim in claims]
    claimed = [
        {"name": name, "persistentVolumeClaim": {"claimName": f"{name}-{pod}"}} for name in names if name
    ]
    return [*(volume for volume in own if volume.get("name") not in names), *claimed]


def _rolled(this: _Set, members: list[_Member | None]) -> list[Action]:
    """Take away pods of the template of before, from the highest ordinal down, as many as may be missing;
    those that are only just being made (None) are."""
    if this.rolling is None:
        return []
    most = max(1, share(this.rolling.get("maxUnavailable", 1), this.replicas, up=True))
    actions: list[Action] = []
    missing = 0
    for member in members:
        if missing >= most or (member is not None and member.ordinal < this.partition):
            break
        if member is None:
            missing += 1
        elif member.revision != this.update and not is_terminating(member.pod):
            actions += ended(member.ref, member.pod, this.now)
            missing += 1
        elif not member.healthy:
            missing += 1
    return actions


def _status(this: _Set, members: list[_Member]) -> Json:
    staying = [member for member in members if not is_terminating(member.pod)]
    ready = sum(is_ready(member.pod) for member in staying)
    updated = sum(member.revision == this.update for member in staying)
    over = this.rolling is not None and updated == ready == len(members) == this.replicas
    current = this.update if over else this.current
    counts = {
        "availableReplicas": sum(member.healthy for member in staying),
        "readyReplicas": ready or None,
        "currentReplicas": sum(member.revision == current for member in staying) or None,
        "updatedReplicas": updated or None,
    }
    return {
        "observedGeneration": this.obj["metadata"].get("generation", 1),
        "replicas": len(members),
        "currentRevision": current,
        "updateRevision": this.update,
        "collisionCount": 0,
        **{name: count for name, count in counts.items() if count is not None},
    }
