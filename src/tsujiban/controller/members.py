"""Nodes as objects: registered when they first connect, ready while they are connected. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from tsujiban.controller.reconcile.actions import Action, Update
from tsujiban.controller.world import NODES, Json, Ref, stamp
from tsujiban.wire.messages import SYSTEM


def registered(
    old: Json | None,
    name: str,
    addresses: tuple[str, ...],
    blocks: tuple[str, ...],
    version: str,
    now: float,
    system: Mapping[str, str] | None = None,
    capacity: Mapping[str, str] | None = None,
) -> Json:
    """The Node object of a node that has just connected, at `now`.

    `old` is what was stored of it, `system` and `capacity` what it says of its machine: all of
    it is for pods."""
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    base: Json = old or {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {}}
    metadata = {**base["metadata"], "labels": {**labels, **base["metadata"].get("labels", {})}}
    spec = (
        {**base.get("spec", {}), "podCIDR": blocks[0], "podCIDRs": list(blocks)}
        if blocks
        else base.get("spec", {})
    )
    status = {
        **(base.get("status") or {}),
        "addresses": [
            *({"type": "InternalIP", "address": address} for address in addresses),
            {"type": "Hostname", "address": name},
        ],
        "nodeInfo": _node_info(version, system or {}),
        **({"capacity": dict(capacity), "allocatable": dict(capacity)} if capacity else {}),
    }
    node = {**base, "metadata": metadata, "spec": spec, "status": status}
    return ready(node, now)


# that a client library may demand, and that no node tells: they would know one machine from all others
_UNTOLD = ("bootID", "kubeProxyVersion", "machineID", "systemUUID")


def _node_info(version: str, told: Mapping[str, str]) -> Json:
    """NodeSystemInfo, whole: the official Python client reads no node that lacks a field."""
    ours = {"kubeletVersion": f"tsujiban-{version}", "containerRuntimeVersion": f"tsujiban://{version}"}
    return {**dict.fromkeys((*_UNTOLD, *SYSTEM), ""), **ours, **told}


def with_blocks(node: Json | None, blocks: tuple[str, ...]) -> list[Action]:
    """What to write for a node that has been given another block of addresses."""
    if node is None or not blocks or node.get("spec", {}).get("podCIDRs") == list(blocks):
        return []
    spec = {**node.get("spec", {}), "podCIDR": blocks[0], "podCIDRs": list(blocks)}
    return [Update(Ref(*NODES, "", node["metadata"]["name"]), {**node, "spec": spec})]


def ready(node: Json, now: float) -> Json:
    """The same node, which is heard (`now` in UNIX seconds)."""
    return _said(node, "True", "AgentReady", "the agent is connected and reports", now)


def unheard(node: Json, now: float) -> Json:
    """The same node, of which nothing is known any more."""
    return _said(node, "Unknown", "NodeStatusUnknown", "the agent is not connected, or reports nothing", now)


def _said(node: Json, status: str, reason: str, message: str, now: float) -> Json:
    known = (node.get("status") or {}).get("conditions", ())
    before: Json = next((c for c in known if c["type"] == "Ready"), {})
    same = before.get("status") == status and before.get("lastTransitionTime")
    condition = {
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": stamp(now) if status == "True" else before.get("lastHeartbeatTime"),
        "lastTransitionTime": same or stamp(now),
    }
    found = {key: value for key, value in condition.items() if value is not None}
    others = [c for c in known if c["type"] != "Ready"]
    return {**node, "status": {**(node.get("status") or {}), "conditions": [*others, found]}}
