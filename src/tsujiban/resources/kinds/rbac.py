"""rbac.authorization.k8s.io/v1: who may do what (Kubernetes API reference, "Authorization Resources")."""

from __future__ import annotations

import msgspec

from tsujiban.resources.kinds.meta import LabelSelector, Object, Shape

GROUP = "rbac.authorization.k8s.io"


class PolicyRule(Shape, frozen=True):
    """What is allowed: verbs on resources (of groups, perhaps of names), or verbs on plain paths."""

    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()  # none is every name
    non_resource_urls: tuple[str, ...] = msgspec.field(default=(), name="nonResourceURLs")


class Role(Object, frozen=True):
    """Rules in one namespace."""

    rules: tuple[PolicyRule, ...] = ()


class AggregationRule(Shape, frozen=True):
    """The ClusterRoles whose rules make up this one."""

    cluster_role_selectors: tuple[LabelSelector, ...] = ()


class ClusterRole(Object, frozen=True):
    """Rules everywhere, or, through a RoleBinding, in one namespace."""

    rules: tuple[PolicyRule, ...] = ()
    aggregation_rule: AggregationRule | None = None


class Subject(Shape, frozen=True):
    """`kind` is User, Group or ServiceAccount; only the last has a namespace."""

    kind: str = ""
    api_group: str = ""
    name: str = ""
    namespace: str = ""


class RoleRef(Shape, frozen=True):
    """The role that a binding grants; `kind` is Role or ClusterRole."""

    api_group: str = ""
    kind: str = ""
    name: str = ""


class RoleBinding(Object, frozen=True):
    """Gives subjects a role in one namespace."""

    role_ref: RoleRef = RoleRef()
    subjects: tuple[Subject, ...] = ()


class ClusterRoleBinding(Object, frozen=True):
    """Gives subjects a ClusterRole everywhere."""

    role_ref: RoleRef = RoleRef()
    subjects: tuple[Subject, ...] = ()
