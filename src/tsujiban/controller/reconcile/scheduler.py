"""Pod to node: which node runs a pod, and which address it gets there.

Both are decided in one write, so that every node knows who owns the address before a packet
can carry it: policy is in force when the pod starts, not some time after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from tsujiban.controller.reconcile import placement, taints
from tsujiban.controller.reconcile.actions import Action, Update
from tsujiban.controller.world import (
    NODES,
    PODS,
    SERVICE_ACCOUNTS,
    Json,
    Ref,
    World,
    controller_of,
    is_finished,
    is_ready,
    is_terminating,
    node_of,
)

# (node, pod reference) -> addresses from the node's blocks; () when they are exhausted
Allocate = Callable[[str, Ref], tuple[str, ...]]


def plan(world: World, ref: Ref, allocate: Allocate) -> list[Action]:
    """Bind one pod, if it has no node yet and a node can take it."""
    pod = world.get(ref)
    if pod is None or is_finished(pod) or is_terminating(pod):
        return []
    status = pod.get("status", {})
    if pod["spec"].get("nodeName") and status.get("podIP"):
        return []
    candidates = _candidates(world, pod)
    for node in candidates:
        addresses = allocate(node, ref)
        if addresses:
            return [Update(ref, _bound(_with_automount(world, ref, pod), node, addresses))]
    return _unschedulable(pod, ref, candidates)


def _candidates(world: World, pod: Json) -> list[str]:
    """Nodes to try, in order. The one that a user names is taken whatever its state, if there is one."""
    named = pod["spec"].get("nodeName")
    if named:
        return [named] if world.find(NODES, "", named) else []
    return _rank(world, pod)


def _rank(world: World, pod: Json) -> list[str]:
    """Nodes that may take the pod, best first: fewest PreferNoSchedule taints that it does not bear, most of
    what it would like, fewest pods of the same owner, then fewest pods."""
    if pinned := placement.pinned(pod["spec"]):  # to look at all nodes for each daemon would be a square
        node = world.find(NODES, "", pinned)
        return [pinned] if node is not None and _fits(node, pod) else []
    owner = controller_of(pod)
    kin = world.owned_by(owner["uid"], PODS) if owner else ()
    same = Counter(node_of(other) for _, other in kin if not is_finished(other))
    liking = {
        ref.name: (taints.unwelcome(node, pod), -placement.preference(node, pod["spec"]))
        for ref, node in world.all(NODES)
        if _fits(node, pod)
    }
    return sorted(liking, key=lambda name: (liking[name], same[name], world.load(name), name))


def _fits(node: Json, pod: Json) -> bool:
    return is_ready(node) and taints.admits(node, pod) and placement.wants(node, pod["spec"])


def _with_automount(world: World, ref: Ref, pod: Json) -> Json:
    """The pod with its service account's word about tokens, when it has none of its own: its node does not
    know the account."""
    account = world.find(SERVICE_ACCOUNTS, ref.namespace, pod["spec"].get("serviceAccountName") or "default")
    said = (account or {}).get("automountServiceAccountToken")
    if said is None or pod["spec"].get("automountServiceAccountToken") is not None:
        return pod
    return {**pod, "spec": {**pod["spec"], "automountServiceAccountToken": said}}


def _bound(pod: Json, node: str, addresses: tuple[str, ...]) -> Json:
    status = {
        "phase": "Pending",
        "podIP": addresses[0],
        "podIPs": [{"ip": address} for address in addresses],
        "conditions": [{"type": "PodScheduled", "status": "True"}],
    }
    return {**pod, "spec": {**pod["spec"], "nodeName": node}, "status": status}


def _unschedulable(pod: Json, ref: Ref, candidates: list[str]) -> list[Action]:
    reason = f"no free address on {', '.join(candidates)}" if candidates else "no ready node fits"
    status = {
        "phase": "Pending",
        "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": reason}
        ],
    }
    return [] if pod.get("status") == status else [Update(ref, {**pod, "status": status})]
