"""What a node may ask of the API: what belongs to it, and what its pods need. Nothing else.

A stolen node certificate so opens one node's share and not the cluster. Reads are decided here
from the pods bound to the node; what a node may write into its objects is `noderestriction.py`'s.
Source: Kubernetes documentation, "Using Node Authorization".
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec

from tsujiban.controller import podrefs
from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.authorize import NO_OPINION, Decision
from tsujiban.controller.api.users import User
from tsujiban.store.protocol import Key

Ref = tuple[str, str, str]  # resource, namespace, name

LEASE_NAMESPACE = "kube-node-lease"
_READ = frozenset({"get", "list", "watch"})
_CHANGE = frozenset({"update", "patch"})
_OF_PODS = frozenset({"secrets", "configmaps"})


class NodeAuthorizer:
    """Fed by a mirror of pods."""

    def __init__(self) -> None:
        self._pods: dict[Key, tuple[str, frozenset[Ref]]] = {}
        self._uses: dict[str, dict[Ref, int]] = defaultdict(lambda: defaultdict(int))  # by node, counted

    def put(self, key: Key, value: bytes) -> None:
        """A pod is there, or has changed."""
        self.drop(key)
        pod: dict[str, Any] = msgspec.json.decode(value)
        spec = pod.get("spec") or {}
        node = spec.get("nodeName", "")
        if not node or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            needs: frozenset[Ref] = frozenset()
        else:
            needs = frozenset(_needs(spec, key.namespace))
        self._pods[key] = node, needs
        for ref in needs:
            self._uses[node][ref] += 1

    def drop(self, key: Key) -> None:
        """A pod is gone."""
        node, needs = self._pods.pop(key, ("", frozenset()))
        uses = self._uses.get(node)
        if uses is None:
            return
        for ref in needs:
            uses[ref] -= 1
            if not uses[ref]:
                del uses[ref]
        if not uses:
            del self._uses[node]

    def decide(self, user: User, wanted: Attributes) -> Decision:
        """No opinion about anybody but nodes."""
        node = user.node
        if not node or wanted.path:
            return NO_OPINION
        if self._may(node, wanted):
            return Decision(True, f'node "{node}" and what belongs to it')
        return Decision(
            False,
            f"no relationship found between node '{node}' and this object"
            if wanted.resource in _OF_PODS or wanted.resource == "serviceaccounts"
            else f"node '{node}' may only {'read' if wanted.verb in _READ else 'write'} what belongs to it",
        )

    def _may(self, node: str, wanted: Attributes) -> bool:
        verb, sub = wanted.verb, wanted.subresource
        match wanted.group, wanted.resource:
            case "", "nodes":
                own = wanted.name == node
                if sub == "status":
                    return own and verb in _CHANGE | {"get"}
                return not sub and (verb == "create" or (own and verb in _READ | _CHANGE))
            case "", "pods":
                return self._may_pod(node, wanted)
            case "", "secrets" | "configmaps":
                used = (wanted.resource, wanted.namespace, wanted.name) in self._uses.get(node, ())
                return not sub and verb in _READ and used
            case "", "serviceaccounts":
                used = (wanted.resource, wanted.namespace, wanted.name) in self._uses.get(node, ())
                return used and ((not sub and verb == "get") or (sub == "token" and verb == "create"))
            case "coordination.k8s.io", "leases":
                own = wanted.namespace == LEASE_NAMESPACE and wanted.name in (node, "")
                named = wanted.name == node and verb in {"get", "delete"} | _CHANGE
                return not sub and own and (named or verb == "create")
            case ("", "services") | ("discovery.k8s.io", "endpointslices"):
                return not sub and verb in _READ
            case "" | "events.k8s.io", "events":
                return not sub and verb in {"create"} | _CHANGE
            case ("authentication.k8s.io", "tokenreviews") | ("authorization.k8s.io", "subjectaccessreviews"):
                return verb == "create"
        return False

    def _may_pod(self, node: str, wanted: Attributes) -> bool:
        if not wanted.name:
            return wanted.verb in ("list", "watch") and not wanted.subresource and wanted.node == node
        bound = self._pods.get(Key("", "pods", wanted.namespace, wanted.name), ("", None))[0] == node
        if wanted.subresource == "status":
            return bound and wanted.verb in _CHANGE | {"get"}
        return bound and not wanted.subresource and wanted.verb in {"get", "delete"}


def _needs(spec: dict[str, Any], namespace: str) -> set[Ref]:
    """What a pod's node must read for it."""
    found = {(resource, namespace, name) for resource, name in podrefs.references(spec)}
    return {("serviceaccounts", namespace, podrefs.account(spec)), *found}
