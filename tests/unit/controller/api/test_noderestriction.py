from __future__ import annotations

from typing import Any

import pytest

from tsujiban.controller.api import noderestriction
from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.errors import ApiError
from tsujiban.controller.api.guard import Review
from tsujiban.controller.api.users import User
from tsujiban.store.protocol import Key

pytestmark = pytest.mark.anyio

N1 = User("system:node:n1", ("system:nodes",))
NODE: dict[str, Any] = {
    "metadata": {"name": "n1", "labels": {"a": "b"}},
    "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}], "conditions": []},
}
POD: dict[str, Any] = {
    "metadata": {"name": "p", "labels": {"app": "web"}},
    "spec": {"nodeName": "n1"},
    "status": {"podIP": "10.244.0.1", "podIPs": [{"ip": "10.244.0.1"}], "phase": "Pending"},
}


async def allowed(
    key: Key,
    old: dict[str, Any] | None,
    new: dict[str, Any] | None,
    subresource: str = "",
    verb: str = "update",
) -> bool:
    wanted = Attributes(verb=verb, group=key.group, resource=key.resource, subresource=subresource)
    try:
        await noderestriction.review(Review(user=N1, wanted=wanted, key=key, old=old, new=new))
    except ApiError as error:
        return error.reason != "Forbidden"
    return True


def node(name: str = "n1") -> Key:
    return Key("", "nodes", "", name)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": {**NODE["status"], "conditions": [{"type": "Ready"}]}}, True),
        ({"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.2"}]}}, False),
        ({"spec": {"podCIDR": "10.244.9.0/24"}}, False),
        ({"spec": {"taints": []}}, False),
        ({"metadata": {**NODE["metadata"], "labels": {"a": "c", "kubernetes.io/hostname": "n1"}}}, True),
        ({"metadata": {**NODE["metadata"], "labels": {"node-restriction.kubernetes.io/x": "y"}}}, False),
        ({"metadata": {**NODE["metadata"], "labels": {"x.node-restriction.kubernetes.io/x": "y"}}}, False),
        ({"metadata": {**NODE["metadata"], "labels": {"node-role.kubernetes.io/master": ""}}}, False),
        ({"metadata": {**NODE["metadata"], "labels": {"node.kubernetes.io/x": "y"}}}, True),
        ({"metadata": {**NODE["metadata"], "ownerReferences": [{"uid": "x"}]}}, False),
        ({"metadata": {**NODE["metadata"], "finalizers": ["x/y"]}}, False),
        ({"metadata": {**NODE["metadata"], "annotations": {"x": "y"}}}, True),
    ],
)
async def test_a_node_says_how_it_is_and_not_what_it_is(changes: dict[str, Any], expected: bool) -> None:
    assert await allowed(node(), NODE, {**NODE, **changes}) is expected


async def test_whole_nodes() -> None:
    plain = {"metadata": {"name": "n1"}}
    assert await allowed(node(), None, plain)
    assert not await allowed(node("n2"), None, plain)
    assert not await allowed(node(), None, NODE)  # an address of its own choice
    assert not await allowed(node(), NODE, None)


@pytest.mark.parametrize(
    ("changes", "subresource", "expected"),
    [
        ({"status": {**POD["status"], "phase": "Running"}}, "status", True),
        ({"status": {**POD["status"], "podIP": "10.244.0.2"}}, "status", False),
        ({"status": {**POD["status"], "podIPs": [{"ip": "10.244.0.2"}]}}, "status", False),
        ({"status": {"phase": "Running"}}, "status", False),
        ({"metadata": {"name": "p", "labels": {"app": "bank"}}}, "status", False),
        ({"status": {**POD["status"], "phase": "Running"}}, "", False),
    ],
)
async def test_a_node_does_not_choose_its_pods_addresses(
    changes: dict[str, Any], subresource: str, expected: bool
) -> None:
    """The address of a pod is who it is to the kernel of every other node: a node that could write
    another pod's would be let through in its place."""
    assert await allowed(Key("", "pods", "ns", "p"), POD, {**POD, **changes}, subresource) is expected


async def test_pods_of_others() -> None:
    key = Key("", "pods", "ns", "p")
    other = {**POD, "spec": {"nodeName": "n2"}}
    assert not await allowed(key, other, {**other, "status": {}}, "status")
    assert not await allowed(key, other, None)
    assert await allowed(key, POD, None)
    marked = {**POD, "metadata": {**POD["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert await allowed(key, POD, marked, verb="delete")
    assert not await allowed(key, POD, {**marked, "status": {}}, verb="delete")
    assert not await allowed(key, other, {**marked, "spec": other["spec"]}, verb="delete")
    assert not await allowed(key, None, POD)


async def test_other_kinds() -> None:
    lease = Key("coordination.k8s.io", "leases", "kube-node-lease", "n1")
    assert await allowed(lease, None, {"spec": {}})
    other = Key("coordination.k8s.io", "leases", "kube-node-lease", "n2")
    assert not await allowed(other, None, {"spec": {}})
    event = Key("", "events", "ns", "e")
    assert await allowed(event, None, {})
    assert not await allowed(event, {}, None)
    assert not await allowed(Key("", "secrets", "ns", "s"), None, {})
