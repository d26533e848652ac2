"""Nodes as objects: registered when they first connect, ready while they are connected. Pure."""

from __future__ import annotations

from tsujiban.controller.reconcile.actions import Action, Update
from tsujiban.controller.world import NODES, Json, Ref


def registered(
    old: Json | None, name: str, addresses: tuple[str, ...], blocks: tuple[str, ...], version: str
) -> Json:
    """The Node object of a node that has just connected; `old` is what was stored of it."""
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
        "nodeInfo": {"kubeletVersion": f"tsujiban-{version}"},
    }
    return ready({**base, "metadata": metadata, "spec": spec, "status": status}, True, "AgentConnected")


def with_blocks(node: Json | None, blocks: tuple[str, ...]) -> list[Action]:
    """What to write for a node that has been given another block of addresses."""
    if node is None or not blocks or node.get("spec", {}).get("podCIDRs") == list(blocks):
        return []
    spec = {**node.get("spec", {}), "podCIDR": blocks[0], "podCIDRs": list(blocks)}
    return [Update(Ref(*NODES, "", node["metadata"]["name"]), {**node, "spec": spec})]


def ready(node: Json, is_ready: bool, reason: str) -> Json:
    """The same node with its Ready condition set."""
    others = [c for c in (node.get("status") or {}).get("conditions", ()) if c["type"] != "Ready"]
    condition = {"type": "Ready", "status": "True" if is_ready else "False", "reason": reason}
    return {**node, "status": {**(node.get("status") or {}), "conditions": [*others, condition]}}
