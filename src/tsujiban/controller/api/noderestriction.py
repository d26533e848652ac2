"""What a node may write into the objects that belong to it: how things are, never what they are.

A node that lies about an address, its own or a pod's, would be believed by policy on every other
node; so addresses, placement, labels that isolate nodes, and owners are not a node's to write.
Source: Kubernetes documentation, "Admission Control", "NodeRestriction".
"""

from __future__ import annotations

from typing import Any

from tsujiban.controller.api.errors import ApiError
from tsujiban.controller.api.guard import Review

Json = dict[str, Any]

_FREE = (  # labels of reserved prefixes that a node may set on itself
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
)
_FREE_PREFIXES = ("kubelet.kubernetes.io/", "node.kubernetes.io/")
_RESTRICTED = "node-restriction.kubernetes.io/"


async def review(review: Review) -> None:
    """A write by a node. Raises ApiError (403)."""
    node, key = review.user.node, review.key
    kind = (key.group, key.resource)
    if kind == ("", "nodes"):
        _node(review, node)
    elif kind == ("", "pods"):
        _pod(review, node)
    elif kind == ("coordination.k8s.io", "leases"):
        if (key.namespace, key.name) != ("kube-node-lease", node):
            raise _refused(review, f"node {node!r} may only write its own Lease")
    elif kind == ("", "events"):
        if review.old is not None and review.new is None:
            raise _refused(review, "a node deletes no events")
    else:
        raise _refused(review, f"a node writes no {key.resource}")


def _node(review: Review, node: str) -> None:
    new, old = review.new, review.old or {}
    if review.key.name != node:
        raise _refused(review, f"node {node!r} is not allowed to modify node {review.key.name!r}")
    if new is None:
        raise _refused(review, "a node does not delete itself")
    for what, path in (
        ("spec", ("spec",)),
        ("owner references", ("metadata", "ownerReferences")),
        ("finalizers", ("metadata", "finalizers")),
        ("addresses", ("status", "addresses")),
    ):
        if _at(new, path) != _at(old, path):
            raise _refused(review, f"a node is not allowed to modify its {what}")
    labels, before = _at(new, ("metadata", "labels")) or {}, _at(old, ("metadata", "labels")) or {}
    changed = {label for label in labels.keys() | before.keys() if labels.get(label) != before.get(label)}
    forbidden = sorted(label for label in changed if _is_reserved(label))
    if forbidden:
        raise _refused(review, f"a node is not allowed to modify labels: {', '.join(forbidden)}")


def _pod(review: Review, node: str) -> None:
    if review.old is None:
        raise _refused(review, "a node creates no pods")
    if _at(review.old, ("spec", "nodeName")) != node:
        raise _refused(review, f"node {node!r} can only write pods with spec.nodeName set to itself")
    if review.new is None:
        return
    if review.wanted.verb == "delete":  # it begins with a mark, and ends when the containers have ended
        if any(_at(review.new, (part,)) != _at(review.old, (part,)) for part in ("spec", "status")):
            raise _refused(review, "a deletion changes nothing but metadata")
        return
    if review.wanted.subresource != "status":
        raise _refused(review, f"node {node!r} can only update the status of pods")
    keep_addresses(review)
    if _at(review.new, ("metadata", "labels")) != _at(review.old, ("metadata", "labels")):
        raise _refused(review, "a node is not allowed to modify a pod's labels")


def keep_addresses(review: Review) -> None:
    """A pod's addresses are what policy everywhere knows it by: who may write its status writes all but them.
    Raises ApiError (403)."""
    if review.old is None or review.new is None:
        return
    for field in ("podIP", "podIPs", "hostIP", "hostIPs"):
        if _at(review.new, ("status", field)) != _at(review.old, ("status", field)):
            raise _refused(review, f"status.{field} is given by the controller and nobody else may change it")


def _at(document: Json, path: tuple[str, ...]) -> Any:
    """The value there; absent, null and empty are one."""
    found: Any = document
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found or None


def _is_reserved(label: str) -> bool:
    domain, slash, _ = label.partition("/")
    if not slash:
        return False
    if label.startswith(_RESTRICTED) or domain.endswith(f".{_RESTRICTED[:-1]}"):
        return True
    ours = any(domain == own or domain.endswith(f".{own}") for own in ("kubernetes.io", "k8s.io"))
    return ours and label not in _FREE and not label.startswith(_FREE_PREFIXES)


def _refused(review: Review, why: str) -> ApiError:
    key = review.key
    title = f"{key.resource}.{key.group}" if key.group else key.resource
    details = {"name": key.name, "group": key.group, "kind": key.resource}
    return ApiError(
        403,
        "Forbidden",
        f'{title} "{key.name}" is forbidden: {why}',
        {name: value for name, value in details.items() if value},
    )
