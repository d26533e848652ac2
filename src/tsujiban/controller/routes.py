"""Which planners look at which objects when something changes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tsujiban.controller.loop import Change, Work
from tsujiban.controller.reconcile import aggregation, apiservice, budgets, gates
from tsujiban.controller.reconcile.claims import fits
from tsujiban.controller.reconcile.garbage import alive, owner_refs
from tsujiban.controller.reconcile.jobcount import is_tracked
from tsujiban.controller.world import (
    BUDGETS,
    CERTIFICATE_REQUESTS,
    CLUSTER_ROLES,
    CONTROLLER_REVISIONS,
    CONTROLLERS_CONFIGURATIONS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    HOST_ENDPOINTS,
    JOBS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
    SERVICE_LABEL,
    SERVICES,
    STATEFUL_SETS,
    Json,
    Ref,
    ResourceId,
    World,
    controller_of,
    is_finished,
    is_terminating,
    node_of,
    selects,
)
from tsujiban.policy.autohosts import SUFFIX as AUTO

# what makes pods, by its kind as their owner references name it
_MAKERS = {
    "ReplicaSet": (REPLICA_SETS, "replicaset"),
    "DaemonSet": (DAEMON_SETS, "daemonset"),
    "Job": (JOBS, "job"),
    "StatefulSet": (STATEFUL_SETS, "statefulset"),
}
# what makes those
_ABOVE = {"Deployment": (DEPLOYMENTS, "deployment"), "CronJob": (CRON_JOBS, "cronjob")}
_BY_KIND = dict((*_MAKERS.values(), _ABOVE["CronJob"]))
_API_NAMESPACE = Ref(*NAMESPACES, "", apiservice.NAMESPACE)


def route(world: World, change: Change) -> Iterator[Work]:
    """The work that one change makes."""
    ref = change.ref
    kind = ref[:2]
    yield from _garbage(world, change)
    if ref in (apiservice.SERVICE, apiservice.SLICE, _API_NAMESPACE):
        yield "api-service", apiservice.SERVICE
    if change.new is None:
        if kind == NAMESPACES:
            yield "empty-namespace", ref
    elif ref.namespace and world.find(NAMESPACES, "", ref.namespace) is None:
        yield "empty-namespace", Ref(*NAMESPACES, "", ref.namespace)
    if kind in budgets.CONTROLLERS:
        yield from (("budget", budget) for budget, _ in world.all(BUDGETS, ref.namespace))
    if kind == PODS:
        yield from _pod(world, change)
    elif kind in _BY_KIND:
        yield _BY_KIND[kind], ref
        if kind in (REPLICA_SETS, JOBS):
            yield from _controller(change, _ABOVE)
    elif kind == CONTROLLER_REVISIONS:
        yield from _controller(change, _MAKERS)
    elif kind == DEPLOYMENTS:
        yield "deployment", ref
    elif kind == BUDGETS:
        yield "budget", ref
    elif kind == SERVICES:
        yield "service", ref
        yield "endpoints", ref
        if change.new is None:
            yield "orphaned-endpoints", ref
    elif kind == NAMESPACES:
        yield "account", ref
    elif kind == ENDPOINT_SLICES:
        yield from _slice(world, change)
    elif kind == SERVICE_ACCOUNTS and change.new is None:
        yield "account", Ref(*NAMESPACES, "", ref.namespace)
    elif kind == CERTIFICATE_REQUESTS:
        yield "csr", ref
    elif kind == CLUSTER_ROLES:
        for role in aggregation.aggregated(world):
            yield "aggregate", role
    elif kind == NODES:
        if change.new is None:
            yield "empty-node", ref
        else:
            yield "taints", ref
        yield "auto-host-endpoint", ref
        yield from _unplaced(world)
        if _asked_of(change.old) != _asked_of(change.new):
            yield from (("daemonset", daemons) for daemons, _ in world.all(DAEMON_SETS))
    elif kind == CONTROLLERS_CONFIGURATIONS:
        yield from (("auto-host-endpoint", node) for node, _ in world.all(NODES))
    elif kind == HOST_ENDPOINTS and ref.name.endswith(AUTO):
        yield "auto-host-endpoint", Ref(*NODES, "", ref.name.removesuffix(AUTO))


def _garbage(world: World, change: Change) -> Iterator[Work]:
    """Work for the garbage collector, whose reference names the uid of an owner that is gone."""
    for version in (change.old, change.new):
        for owner_ref in owner_refs(world, change.ref, version) if version is not None else ():
            yield "dependents", owner_ref
    if change.new is None and change.old is not None:
        yield "garbage", change.ref._replace(name=change.old["metadata"]["uid"])
    elif change.new is not None:
        if is_terminating(change.new):
            yield "dependents", change.ref
        for owner in change.new["metadata"].get("ownerReferences", ()):
            if not alive(world, change.ref, owner):
                yield "garbage", change.ref._replace(name=owner["uid"])


def _unplaced(world: World) -> Iterator[Work]:
    """Pods that wait for a node or an address."""
    yield from (("schedule", ref) for ref, _ in world.unplaced())


def _slice(world: World, change: Change) -> Iterator[Work]:
    """A slice that has been taken away, or changed, under its service."""
    for version in (change.old, change.new):
        service = ((version or {}).get("metadata") or {}).get("labels", {}).get(SERVICE_LABEL)
        if service:
            yield "endpoints", Ref(*SERVICES, change.ref.namespace, service)


def _pod(world: World, change: Change) -> Iterator[Work]:
    yield "schedule", change.ref
    if change.new is not None and gates.has(change.new):
        yield "readiness", change.ref
    if change.new is not None and is_tracked(change.new):
        yield "job-pod", change.ref
    if change.new is not None and is_terminating(change.new) and is_finished(change.new):
        yield "terminated", change.ref
    if change.old is not None and (change.new is None or is_finished(change.new)):
        yield from _unplaced(world)  # its address is free now
    yield from _controller(change, _MAKERS)
    if change.new is not None and controller_of(change.new) is None:
        yield from _takers(world, change.ref, change.new)
    if change.new is None:  # its name is free: a set may have waited for that
        owner = Ref(*STATEFUL_SETS, change.ref.namespace, change.ref.name.rpartition("-")[0])
        if world.get(owner) is not None:
            yield "statefulset", owner
    versions = [version for version in (change.old, change.new) if version is not None]
    for ref, budget in world.all(BUDGETS, change.ref.namespace):
        if any(budgets.covers(budget, pod) for pod in versions):
            yield "budget", ref
    for ref, service in world.all(SERVICES, change.ref.namespace):
        selector = {"matchLabels": service["spec"].get("selector", {})}
        if any(selects(selector, pod["metadata"].get("labels", {})) for pod in versions):
            yield "endpoints", ref


def _takers(world: World, ref: Ref, pod: Json) -> Iterator[Work]:
    """Who may take up a pod that nobody controls."""
    for kind in (REPLICA_SETS, DAEMON_SETS):
        for owner, obj in world.all(kind, ref.namespace):
            if fits((obj.get("spec") or {}).get("selector"), pod):
                yield _BY_KIND[kind], owner
    owner = Ref(*STATEFUL_SETS, ref.namespace, ref.name.rpartition("-")[0])
    if world.get(owner) is not None:
        yield "statefulset", owner


def _controller(change: Change, kinds: Mapping[str, tuple[ResourceId, str]]) -> Iterator[Work]:
    """The object's controller, if it is of one of the kinds."""
    obj: Json | None = change.new or change.old
    owner = controller_of(obj) if obj else None
    if owner and owner.get("kind") in kinds:
        kind, planner = kinds[owner["kind"]]
        yield planner, Ref(*kind, change.ref.namespace, owner["name"])


def moves(change: Change) -> bool:
    """Whether a change matters to pods that wait for a place near others, or far from them. (When one is gone
    all that wait are looked at anyway.)"""
    return change.ref[:2] == PODS and change.new is not None and _where(change.old) != _where(change.new)


def _where(pod: Json | None) -> object:
    if pod is None or not node_of(pod):
        return None
    return node_of(pod), pod["metadata"].get("labels"), is_terminating(pod)


def _asked_of(node: Json | None) -> object:
    """What decides which daemons a node runs; None when there is no node."""
    return node and (node["metadata"].get("labels"), node.get("spec"))
