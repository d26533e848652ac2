from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.nodes import NodeAuthorizer
from tsujiban.controller.api.users import User
from tsujiban.store.protocol import Key

N1 = User("system:node:n1", ("system:nodes",))
ENV = {"valueFrom": {"secretKeyRef": {"name": "in-env"}}}
SPEC: dict[str, Any] = {
    "nodeName": "n1",
    "serviceAccountName": "web",
    "imagePullSecrets": [{"name": "pull"}],
    "containers": [
        {"env": [ENV, {"value": "x"}], "envFrom": [{"configMapRef": {"name": "from"}}]},
    ],
    "volumes": [
        {"secret": {"secretName": "mounted"}},
        {"configMap": {"name": "config"}},
        {"projected": {"sources": [{"secret": {"name": "projected"}}, {"serviceAccountToken": {}}]}},
    ],
}


def pod(authorizer: NodeAuthorizer, name: str = "p", phase: str = "Running", **spec: Any) -> Key:
    key = Key("", "pods", "ns", name)
    obj = {"metadata": {"name": name}, "spec": {**SPEC, **spec}, "status": {"phase": phase}}
    authorizer.put(key, msgspec.json.encode(obj))
    return key


def ask(verb: str, resource: str, name: str = "", namespace: str = "ns", **more: Any) -> Attributes:
    group, _, plural = resource.rpartition("/")
    plural, _, sub = plural.partition(":")
    return Attributes(
        verb=verb, group=group, resource=plural, subresource=sub, namespace=namespace, name=name, **more
    )


LEASES = "coordination.k8s.io/leases"


@pytest.mark.parametrize(
    ("wanted", "allowed"),
    [
        *((ask("get", "secrets", name), True) for name in ("pull", "in-env", "mounted", "projected")),
        (ask("watch", "secrets", "mounted"), True),
        (ask("get", "configmaps", "config"), True),
        (ask("get", "configmaps", "from"), True),
        (ask("get", "secrets", "config"), False),
        (ask("get", "secrets", "mounted", "other"), False),
        (ask("list", "secrets"), False),
        (ask("update", "secrets", "mounted"), False),
        (ask("delete", "secrets", "mounted"), False),
        (ask("get", "serviceaccounts", "web"), True),
        (ask("create", "serviceaccounts:token", "web"), True),
        (ask("create", "serviceaccounts:token", "default"), False),
        (ask("create", "serviceaccounts:token", "web", "other"), False),
        (ask("get", "nodes", "n1", ""), True),
        (ask("get", "nodes", "n2", ""), False),
        (ask("list", "nodes", "", ""), False),
        (ask("watch", "nodes", "n1", ""), True),
        (ask("patch", "nodes:status", "n1", ""), True),
        (ask("patch", "nodes:status", "n2", ""), False),
        (ask("delete", "nodes", "n1", ""), False),
        (ask("create", "nodes", "", ""), True),
        (ask("get", "pods", "p"), True),
        (ask("get", "pods", "q"), False),
        (ask("patch", "pods:status", "p"), True),
        (ask("patch", "pods:status", "q"), False),
        (ask("patch", "pods", "p"), False),
        (ask("create", "pods"), False),
        (ask("delete", "pods", "p"), True),
        (ask("create", "pods:exec", "p"), False),
        (ask("get", "pods:log", "p"), False),
        (ask("list", "pods", "", ""), False),
        (ask("list", "pods", "", "", node="n1"), True),
        (ask("watch", "pods", "", "", node="n2"), False),
        (ask("deletecollection", "pods", "", "ns", node="n1"), False),
        (ask("update", LEASES, "n1", "kube-node-lease"), True),
        (ask("update", LEASES, "n2", "kube-node-lease"), False),
        (ask("update", LEASES, "n1", "kube-system"), False),
        (ask("list", LEASES, "", "kube-node-lease"), False),
        (ask("create", LEASES, "", "kube-node-lease"), True),
        (ask("list", "services", "", ""), True),
        (ask("watch", "discovery.k8s.io/endpointslices", "", ""), True),
        (ask("create", "services"), False),
        (ask("create", "events"), True),
        (ask("create", "events.k8s.io/events"), True),
        (ask("list", "events"), False),
        (ask("get", "apps/nodes", "n1", ""), False),
        (ask("list", "networking.k8s.io/networkpolicies"), False),
        (ask("create", "authentication.k8s.io/tokenreviews", "", ""), True),
        (ask("impersonate", "users", "admin", ""), False),
    ],
)
def test_a_node_gets_its_share(wanted: Attributes, allowed: bool) -> None:
    authorizer = NodeAuthorizer()
    pod(authorizer)
    pod(authorizer, "q", nodeName="n2", serviceAccountName="default", volumes=[], containers=[])
    decision = authorizer.decide(N1, wanted)
    assert decision.allowed is allowed
    assert "n1" in decision.reason


def test_the_share_ends_with_the_last_pod() -> None:
    authorizer = NodeAuthorizer()
    first, second = pod(authorizer), pod(authorizer, "q")
    wanted = ask("get", "secrets", "mounted")
    authorizer.drop(first)
    assert authorizer.decide(N1, wanted).allowed
    pod(authorizer, "q", phase="Succeeded")
    assert not authorizer.decide(N1, wanted).allowed
    pod(authorizer, "q")
    assert authorizer.decide(N1, wanted).allowed
    authorizer.drop(second)
    authorizer.drop(second)
    assert not authorizer.decide(N1, wanted).allowed


@pytest.mark.parametrize(
    "user", [User("system:node:n1", ("guests",)), User("ann", ("system:nodes",)), User("ann")]
)
def test_nobody_else_is_a_node(user: User) -> None:
    authorizer = NodeAuthorizer()
    pod(authorizer)
    assert authorizer.decide(user, ask("get", "nodes", "n1", "")).allowed is False
    assert authorizer.decide(user, ask("get", "nodes", "n1", "")).reason == ""
