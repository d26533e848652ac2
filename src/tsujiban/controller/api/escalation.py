"""Nobody gives away more than they hold: what is checked when roles and bindings are written.

Source: Kubernetes documentation, "Using RBAC Authorization", "Privilege escalation prevention and
bootstrapping": who writes a role holds all of its rights or the verb `escalate` on it; who binds a
role holds all of its rights or the verb `bind` on it; what a binding refers to never changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.authorize import Authorizer
from tsujiban.controller.api.errors import ApiError, invalid, not_found
from tsujiban.controller.api.grants import Grants
from tsujiban.controller.api.guard import Review
from tsujiban.controller.api.rbac import TooManyRights, compact, missing
from tsujiban.controller.api.users import User
from tsujiban.resources.findings import Finding
from tsujiban.resources.kinds.rbac import (
    GROUP,
    ClusterRole,
    ClusterRoleBinding,
    PolicyRule,
    Role,
    RoleBinding,
    RoleRef,
)
from tsujiban.store.protocol import Key

Json = dict[str, Any]

_EVERYTHING = (
    PolicyRule(verbs=("*",), api_groups=("*",), resources=("*",)),
    PolicyRule(verbs=("*",), non_resource_urls=("*",)),
)
_SHOWN = 30  # missing rights in a message


class Escalation:
    """Reviews writes of RBAC's kinds."""

    def __init__(self, authorizer: Authorizer, grants: Grants) -> None:
        self._authorizer = authorizer
        self._grants = grants

    async def role(self, review: Review) -> None:
        """A Role or ClusterRole. Raises ApiError (403)."""
        if review.new is None:
            return
        new = _decoded(review.new, review.key)
        old = _decoded(review.old, review.key) if review.old else None
        if old is not None and _gives(new) == _gives(old):
            return
        if any(isinstance(role, ClusterRole) and role.aggregation_rule is not None for role in (new, old)):
            # its rules are, or were, whatever others write
            await self._hold(review, "escalate", review.key, _EVERYTHING)
            return
        await self._hold(review, "escalate", review.key, new.rules)

    async def binding(self, review: Review) -> None:
        """A RoleBinding or ClusterRoleBinding. Raises ApiError (403, 404, or 422 for another role)."""
        if review.new is None:
            return
        new = _binding(review.new, review.key)
        if review.old is not None:
            old = _binding(review.old, review.key)
            if _same_role(old.role_ref) != _same_role(new.role_ref):
                message = "Invalid value: cannot change roleRef"
                finding = Finding(code="immutable", message=message, field="roleRef", hint="delete it first")
                raise invalid(new.kind, GROUP, review.key.name, [finding])
            if old.subjects == new.subjects:
                return
        role = new.role_ref
        plural = "roles" if role.kind == "Role" else "clusterroles"
        where = review.key.namespace if role.kind == "Role" else ""
        key = Key(GROUP, plural, where, role.name)
        if await self._may(review.user, "bind", key):
            return
        rules = self._grants.role(role, review.key.namespace)
        if rules is None:
            raise not_found(key)
        await self._hold(review, "bind", key, rules)

    async def _hold(self, review: Review, verb: str, role: Key, rules: Sequence[PolicyRule]) -> None:
        if await self._may(review.user, verb, role):
            return
        # a binding gives rights in its own namespace, a role can be bound wherever it is
        held = self._grants.rules(review.user, review.key.namespace)
        try:
            lacking = missing(held, rules)
        except TooManyRights as error:
            raise _refused(review, f"cannot compare its rights with yours: {error}") from None
        if lacking:
            groups = " ".join(f'"{group}"' for group in review.user.groups)
            raise _refused(
                review,
                f'user "{review.user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not '
                f"currently held: {compact(lacking[:_SHOWN])}",
            )

    async def _may(self, user: User, verb: str, role: Key) -> bool:
        wanted = Attributes(
            verb=verb,
            group=role.group,
            version="v1",
            resource=role.resource,
            namespace=role.namespace,
            name=role.name,
        )
        return (await self._authorizer.decide(user, wanted)).allowed


def _decoded(document: Json, key: Key) -> Role | ClusterRole:
    if key.resource == "roles":
        return msgspec.convert(document, Role)
    return msgspec.convert(document, ClusterRole)


def _binding(document: Json, key: Key) -> RoleBinding | ClusterRoleBinding:
    if key.resource == "rolebindings":
        return msgspec.convert(document, RoleBinding)
    return msgspec.convert(document, ClusterRoleBinding)


def _gives(role: Role | ClusterRole) -> Any:
    """All by which somebody may come to hold something: by its labels a role becomes part of others."""
    return role.rules, role.metadata.labels, role.aggregation_rule if isinstance(role, ClusterRole) else None


def _same_role(role: RoleRef) -> tuple[str, str]:
    return role.kind, role.name  # the group is RBAC's, whether it is written or not


def _refused(review: Review, why: str) -> ApiError:
    key = review.key
    return ApiError(
        403,
        "Forbidden",
        f'{key.resource}.{key.group} "{key.name}" is forbidden: {why}',
        {"name": key.name, "group": key.group, "kind": key.resource},
    )
