"""A host endpoint of all interfaces for each node, where the cluster wants that.

Switched on by KubeControllersConfiguration `default`, as in Calico, and named and labelled as
there: `NODE-auto-hep`, the node's labels, the profile that allows what no policy decides. Only
objects that carry our label are ever changed or removed.
"""

from __future__ import annotations

from tsujiban.controller.reconcile.actions import Action, Create, Delete, Update
from tsujiban.controller.world import CONTROLLERS_CONFIGURATIONS, HOST_ENDPOINTS, Json, Ref, World
from tsujiban.policy.autohosts import CREATED_BY, SUFFIX
from tsujiban.policy.profiles import ALLOWING


def enabled(world: World) -> bool:
    """Whether nodes get host endpoints by themselves."""
    found = world.find(CONTROLLERS_CONFIGURATIONS, "", "default") or {}
    part = found.get("spec") or {}
    for field in ("controllers", "node", "hostEndpoint"):
        part = part.get(field) or {}
    return part.get("autoCreate") == "Enabled"


def plan(world: World, ref: Ref) -> list[Action]:
    """What to write for one Node."""
    target = Ref(*HOST_ENDPOINTS, "", ref.name + SUFFIX)
    node, held = world.get(ref), world.get(target)
    if held is not None and (held["metadata"].get("labels") or {}).get(CREATED_BY[0]) != CREATED_BY[1]:
        return []  # a user's
    if node is None or not enabled(world):
        return [Delete(target)] if held is not None else []
    labels = {**(node["metadata"].get("labels") or {}), CREATED_BY[0]: CREATED_BY[1]}
    spec = {
        "node": ref.name,
        "interfaceName": "*",
        "expectedIPs": _addresses(node),
        "profiles": list(ALLOWING),
    }
    if held is None:
        metadata = {"name": target.name, "labels": labels}
        kind = {"apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint"}
        return [Create(target, {**kind, "metadata": metadata, "spec": spec})]
    if held["spec"] == spec and held["metadata"].get("labels") == labels:
        return []
    return [Update(target, {**held, "metadata": {**held["metadata"], "labels": labels}, "spec": spec})]


def _addresses(node: Json) -> list[str]:
    found = (node.get("status") or {}).get("addresses") or ()
    return [entry["address"] for entry in found if entry.get("type") in ("InternalIP", "ExternalIP")]
