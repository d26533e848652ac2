"""Pod to node: which node runs a pod, and which address it gets there.

Both are decided in one write, so that every node knows who owns the address before a packet
can carry it: policy is in force when the pod starts, not some time after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from tsujiban.controller import podstatus, requests
from tsujiban.controller.reconcile import placement, taints
from tsujiban.controller.reconcile.actions import Action, Update
from tsujiban.controller.reconcile.nearness import Wishes
from tsujiban.controller.requests import Amounts
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
    mapping,
    mappings,
    node_of,
)

# (node, pod reference) -> addresses from the node's blocks; () when they are exhausted
_SCHEDULED = "PodScheduled"
INSUFFICIENT = "Insufficient"  # begins what kube-scheduler says of it, without "node(s)"
Allocate = Callable[[str, Ref], tuple[str, ...]]


def plan(world: World, ref: Ref, allocate: Allocate) -> list[Action]:
    """Bind one pod, if it has no node yet and a node can take it."""
    pod = world.get(ref)
    if pod is None or is_finished(pod) or is_terminating(pod):
        return []
    if pod["spec"].get("nodeName") and _status(pod).get("podIP"):
        return []
    candidates, reasons = _candidates(world, ref, pod)
    for node in candidates:
        addresses = allocate(node, ref)
        if addresses:
            return [Update(ref, _bound(_with_automount(world, ref, pod), node, addresses))]
    if candidates:
        reasons.append(f"no free address on {', '.join(candidates)}")
    return _unschedulable(pod, ref, f"0/{world.count(NODES)} nodes are available: {', '.join(reasons)}.")


def _candidates(world: World, ref: Ref, pod: Json) -> tuple[list[str], list[str]]:
    """Nodes to try, in order, and why not the others, as kube-scheduler says it. The one that a user names is
    taken whatever its state, if there is one."""
    named = pod["spec"].get("nodeName")
    if not named:
        return _rank(world, ref, pod)
    return ([named], []) if world.find(NODES, "", named) is not None else ([], [f"there is no {named}"])


def _rank(world: World, ref: Ref, pod: Json) -> tuple[list[str], list[str]]:
    """Nodes that may take the pod, best first: fewest PreferNoSchedule taints that it does not bear, most of
    what it would like, fewest of its kind where it would be spread, fewest pods of the same owner, then
    fewest pods."""
    wishes, asked = Wishes(world, ref, pod), requests.of(pod)
    if pinned := placement.pinned(pod["spec"]):  # to look at all nodes for each daemon would be a square
        node = world.find(NODES, "", pinned)
        refusal = f"there is no {pinned}" if node is None else _refusal(world, node, pod, asked, wishes)
        return ([], [refusal]) if refusal else ([pinned], [])
    owner = controller_of(pod)
    kin = world.owned_by(owner["uid"], PODS) if owner else ()
    same = Counter(node_of(other) for _, other in kin if not is_finished(other))
    liking = {}
    refusals: Counter[str] = Counter()
    for other, node in world.all(NODES):
        if refusal := _refusal(world, node, pod, asked, wishes):
            refusals[refusal] += 1
            continue
        near, spread = wishes.preference(node)
        liked = placement.preference(node, pod["spec"]) + near
        liking[other.name] = (taints.unwelcome(node, pod), -liked, -spread)
    order = sorted(liking, key=lambda name: (liking[name], same[name], world.load(name), name))
    return order, sorted(_counted(number, reason) for reason, number in refusals.items())


def _counted(number: int, reason: str) -> str:
    return f"{number} {reason}" if reason.startswith(INSUFFICIENT) else f"{number} node(s) {reason}"


def _refusal(world: World, node: Json, pod: Json, asked: Amounts, wishes: Wishes) -> str:
    """Why a node cannot take a pod; "" when it can."""
    if not is_ready(node):
        return "were not ready"
    if not taints.admits(node, pod):
        return "had untolerated taints"
    if not placement.wants(node, pod["spec"]):
        return "didn't match Pod's node affinity/selector"
    if short := requests.lacking(node, world.asked_of(node["metadata"]["name"]), asked):
        return f"{INSUFFICIENT} {short}"
    return wishes.refusal(node)


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
        "conditions": [{"type": _SCHEDULED, "status": "True"}, *podstatus.of_others(_status(pod))],
    }
    return {**pod, "spec": {**pod["spec"], "nodeName": node}, "status": status}


def _unschedulable(pod: Json, ref: Ref, reason: str) -> list[Action]:
    """Say so; what others have written beside it is not compared, lest two write by turns for ever."""
    before = _status(pod)
    told = {"type": _SCHEDULED, "status": "False", "reason": "Unschedulable", "message": reason}
    known = (one for one in mappings(before.get("conditions")) if one.get("type") == _SCHEDULED)
    same = any(told.items() <= one.items() for one in known)
    if same and before.get("phase") == "Pending" and not before.get("podIP"):
        return []
    status = {"phase": "Pending", "conditions": [told, *podstatus.of_others(before)]}
    return [Update(ref, {**pod, "status": status})]


def _status(pod: Json) -> Json:
    return mapping(pod.get("status"))
