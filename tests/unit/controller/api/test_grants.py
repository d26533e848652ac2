from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.grants import Grants
from tsujiban.controller.api.users import User
from tsujiban.resources.kinds.rbac import RoleRef
from tsujiban.store.protocol import Key

GROUP = "rbac.authorization.k8s.io"
PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
ANN = User("ann", ("dev",))


def put(grants: Grants, kind: str, name: str, namespace: str = "", **fields: Any) -> Key:
    key = Key(GROUP, f"{kind.lower()}s", namespace, name)
    grants.put(key, msgspec.json.encode({"kind": kind, "metadata": {"name": name}, **fields}))
    return key


def bind(grants: Grants, kind: str, subject: dict[str, str], role: str, namespace: str = "") -> Key:
    role_kind, _, name = role.partition("/")
    return put(
        grants,
        kind,
        "b",
        namespace,
        roleRef={"kind": role_kind, "name": name},
        subjects=[subject],
    )


def may(grants: Grants, user: User, namespace: str) -> bool:
    return grants.decide(user, Attributes(verb="get", resource="pods", namespace=namespace)).allowed


@pytest.mark.parametrize(
    ("subject", "user", "allowed"),
    [
        ({"kind": "User", "name": "ann"}, ANN, True),
        ({"kind": "Group", "name": "dev"}, ANN, True),
        ({"kind": "Group", "name": "ann"}, ANN, False),
        ({"kind": "User", "name": "dev"}, ANN, False),
        ({"kind": "User", "name": "Ann"}, ANN, False),
        (
            {"kind": "ServiceAccount", "name": "web", "namespace": "n"},
            User("system:serviceaccount:n:web"),
            True,
        ),
        (
            {"kind": "ServiceAccount", "name": "web", "namespace": "other"},
            User("system:serviceaccount:n:web"),
            False,
        ),
    ],
)
def test_subjects(subject: dict[str, str], user: User, allowed: bool) -> None:
    grants = Grants()
    put(grants, "ClusterRole", "r", rules=[PODS])
    bind(grants, "RoleBinding", subject, "ClusterRole/r", "n")
    assert may(grants, user, "n") is allowed
    assert not may(grants, user, "m")
    assert not may(grants, user, "")


def test_everywhere_is_everywhere() -> None:
    grants = Grants()
    put(grants, "ClusterRole", "r", rules=[PODS])
    bind(grants, "ClusterRoleBinding", {"kind": "User", "name": "ann"}, "ClusterRole/r")
    assert may(grants, ANN, "n")
    assert may(grants, ANN, "")
    reason = grants.decide(ANN, Attributes(verb="get", resource="pods")).reason
    assert reason == 'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to user "ann"'


def test_a_role_is_of_its_namespace() -> None:
    grants = Grants()
    put(grants, "Role", "r", "m", rules=[PODS])
    bind(grants, "RoleBinding", {"kind": "User", "name": "ann"}, "Role/r", "n")
    assert not may(grants, ANN, "n")  # there is no Role r in n; that of m is another
    role = put(grants, "Role", "r", "n", rules=[PODS])
    assert may(grants, ANN, "n")
    grants.drop(role)
    assert not may(grants, ANN, "n")


def test_changes_count_at_once() -> None:
    grants = Grants()
    role = put(grants, "ClusterRole", "r", rules=[PODS])
    binding = bind(grants, "ClusterRoleBinding", {"kind": "User", "name": "ann"}, "ClusterRole/r")
    bind(grants, "ClusterRoleBinding", {"kind": "User", "name": "bob"}, "ClusterRole/r")
    assert not may(grants, ANN, "n")  # the binding has other subjects now
    assert may(grants, User("bob"), "n")
    put(grants, "ClusterRole", "r", rules=[])
    assert not may(grants, User("bob"), "n")
    put(grants, "ClusterRole", "r", rules=[PODS])
    grants.drop(binding)
    assert not may(grants, User("bob"), "n")
    grants.drop(role)
    grants.drop(role)


def test_rules_and_roles() -> None:
    grants = Grants()
    put(grants, "ClusterRole", "r", rules=[PODS])
    put(grants, "Role", "s", "n", rules=[{**PODS, "verbs": ["list"]}])
    bind(grants, "ClusterRoleBinding", {"kind": "Group", "name": "dev"}, "ClusterRole/r")
    bind(grants, "RoleBinding", {"kind": "User", "name": "ann"}, "Role/s", "n")
    assert [rule.verbs for rule in grants.rules(ANN, "n")] == [("get",), ("list",)]
    assert [rule.verbs for rule in grants.rules(ANN, "")] == [("get",)]
    assert grants.role(RoleRef(kind="Role", name="s"), "n") is not None
    assert grants.role(RoleRef(kind="Role", name="s"), "m") is None
    assert grants.role(RoleRef(kind="ClusterRole", name="s"), "n") is None
