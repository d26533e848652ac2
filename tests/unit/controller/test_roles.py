"""The built-in roles: valid, complete, and no more than they should be."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tsujiban.controller import roles
from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.grants import Grants
from tsujiban.controller.api.users import User
from tsujiban.resources import load
from tsujiban.resources.registry import KINDS
from tsujiban.store.protocol import Key


@pytest.fixture(scope="module")
def grants() -> Grants:
    found = Grants()
    for ref, obj in roles.objects():
        found.put(Key(*ref), msgspec.json.encode(obj))
    for level in ("admin", "edit", "view", "tsujiban:network-admin", "tsujiban:observer"):
        for kind, namespace in (("rolebindings", "n"), ("clusterrolebindings", "")):
            if level.startswith("tsujiban:") and namespace:
                continue
            binding = {
                "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
                "metadata": {"name": f"{level}-{kind}"},
                "roleRef": {"kind": "ClusterRole", "name": level},
                "subjects": [{"kind": "Group", "name": f"{level}{'' if namespace else '-everywhere'}"}],
            }
            key = Key("rbac.authorization.k8s.io", kind, namespace, f"{level}-{kind}")
            found.put(key, msgspec.json.encode(binding))
    return found


def may(grants: Grants, group: str, verb: str, resource: str, namespace: str = "n", **more: Any) -> bool:
    api_group, _, plural = resource.rpartition("/")
    plural, _, sub = plural.partition(":")
    wanted = Attributes(
        verb=verb, group=api_group, resource=plural, subresource=sub, namespace=namespace, **more
    )
    return grants.decide(User("x", (group, "system:authenticated")), wanted).allowed


def test_they_are_valid() -> None:
    for _, obj in roles.objects():
        loaded = load.check(obj)
        assert loaded.ok, loaded.findings


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.plural}.{kind.group}")
def test_every_kind_is_covered_or_left_out_on_purpose(grants: Grants, kind: Any) -> None:
    resource = f"{kind.group}/{kind.plural}" if kind.group else kind.plural
    assert may(grants, "system:masters", "delete", resource)
    if not kind.namespaced:
        assert not may(grants, "edit", "create", resource, "")
        return
    assert may(grants, "admin", "list", resource)
    machines = {"leases", "events", "workloadendpoints", "controllerrevisions", "endpoints", "endpointslices"}
    assert may(grants, "edit", "create", resource) is (
        kind.plural not in {"roles", "rolebindings", *machines}
    )
    assert may(grants, "view", "get", resource) is (kind.plural not in ("roles", "rolebindings", "secrets"))
    for verb in ("create", "update", "patch", "delete", "deletecollection"):
        assert not may(grants, "view", verb, resource)
    assert not may(grants, "admin", "list", resource, "other")


@pytest.mark.parametrize(
    ("group", "verb", "resource", "allowed"),
    [
        ("view", "get", "pods:log", True),
        ("view", "create", "pods:exec", False),
        ("view", "create", "serviceaccounts:token", False),
        ("edit", "create", "pods:exec", True),
        ("edit", "create", "serviceaccounts:token", True),
        ("edit", "impersonate", "serviceaccounts", True),
        ("edit", "impersonate", "users", False),
        ("edit", "patch", "pods:status", False),
        ("edit", "create", "rbac.authorization.k8s.io/rolebindings", False),
        ("admin", "create", "rbac.authorization.k8s.io/rolebindings", True),
        ("admin", "escalate", "rbac.authorization.k8s.io/roles", False),
        ("admin", "bind", "rbac.authorization.k8s.io/clusterroles", False),
        ("admin", "create", "rbac.authorization.k8s.io/clusterroles", False),
        ("view-everywhere", "list", "projectcalico.org/globalnetworkpolicies", True),
        ("admin-everywhere", "create", "projectcalico.org/globalnetworkpolicies", False),
        ("tsujiban:network-admin-everywhere", "create", "projectcalico.org/tiers", True),
        ("tsujiban:network-admin-everywhere", "create", "crd.projectcalico.org/tiers", True),
        ("tsujiban:network-admin-everywhere", "get", "secrets", False),
        ("nobody", "create", "authorization.k8s.io/selfsubjectaccessreviews", True),
        ("nobody", "create", "authorization.k8s.io/subjectaccessreviews", False),
    ],
)
def test_rights(grants: Grants, group: str, verb: str, resource: str, allowed: bool) -> None:
    namespace = "" if group.endswith("-everywhere") else "n"
    assert may(grants, group, verb, resource, namespace) is allowed


def test_paths(grants: Grants) -> None:
    def path(group: str, found: str) -> bool:
        return grants.decide(User("x", (group,)), Attributes(verb="get", path=found)).allowed

    for found in ("/api", "/apis/apps/v1", "/openapi/v3", "/version", "/healthz"):
        assert path("system:authenticated", found), found
    assert not path("system:authenticated", "/tsujiban/v1/flows")
    assert path("tsujiban:observer-everywhere", "/tsujiban/v1/flows")
    assert path("system:serviceaccounts", "/openid/v1/jwks")
    assert not path("system:unauthenticated", "/api")


def named(name: str) -> dict[str, Any]:
    return next(obj for ref, obj in roles.objects() if ref.name == name and obj["kind"] == "ClusterRole")


def test_reconciling_adds_what_is_missing_and_keeps_what_a_user_added() -> None:
    wanted = named("system:basic-user")
    assert roles.reconciled(wanted, wanted) is None
    own = {"apiGroups": [""], "resources": ["x"], "verbs": ["get"]}
    current = {**wanted, "rules": [own]}
    changed = roles.reconciled(current, wanted)
    assert changed is not None
    assert changed["rules"] == [own, *wanted["rules"]]
    pinned = {**current, "metadata": {**wanted["metadata"], "annotations": {roles.AUTOUPDATE: "false"}}}
    assert roles.reconciled(pinned, wanted) is None


def test_reconciling_bindings_and_aggregated_roles() -> None:
    binding = next(obj for _, obj in roles.objects() if obj["kind"] == "ClusterRoleBinding")
    emptied = {key: value for key, value in binding.items() if key != "subjects"}
    changed = roles.reconciled(emptied, binding)
    assert changed is not None
    assert changed["subjects"] == binding["subjects"]
    view = named("view")
    grown = {**view, "rules": [*view["rules"], {"apiGroups": ["x.io"], "resources": ["y"], "verbs": ["get"]}]}
    assert roles.reconciled(grown, view) is None  # its rules are the aggregation's
