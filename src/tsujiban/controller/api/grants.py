"""Who holds which rules: roles and bindings, indexed by subject, as they are now.

Fed by a `Mirror`, so that a request costs no read. A binding whose role does not exist gives nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import msgspec

from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.authorize import Decision
from tsujiban.controller.api.rbac import allows
from tsujiban.controller.api.users import ACCOUNT_PREFIX, User
from tsujiban.resources.kinds.rbac import (
    GROUP,
    ClusterRole,
    ClusterRoleBinding,
    PolicyRule,
    Role,
    RoleBinding,
    RoleRef,
    Subject,
)
from tsujiban.store.protocol import Key

KINDS = ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
_TYPES: dict[str, type[Role | ClusterRole | RoleBinding | ClusterRoleBinding]] = {
    "roles": Role,
    "clusterroles": ClusterRole,
    "rolebindings": RoleBinding,
    "clusterrolebindings": ClusterRoleBinding,
}
_Word = tuple[str, str]  # ("User" or "Group", name): service accounts are users


class _Binding(msgspec.Struct, frozen=True):
    title: str  # RoleBinding "x/y", for reasons
    namespace: str  # "" is everywhere
    role: RoleRef
    subjects: tuple[_Word, ...]


class Grants:
    """All roles and bindings; the authorizer `RBAC`."""

    def __init__(self) -> None:
        self._rules: dict[tuple[str, str, str], tuple[PolicyRule, ...]] = {}  # (kind, namespace, name)
        self._bindings: dict[Key, _Binding] = {}
        # by namespace ("" for cluster-wide), then by subject: bindings in the order in which they came
        self._by_subject: dict[str, dict[_Word, dict[Key, None]]] = defaultdict(lambda: defaultdict(dict))

    # ------------------------------------------------------------ what the mirror calls

    def put(self, key: Key, value: bytes) -> None:
        """A role or a binding is there, or has changed."""
        self.drop(key)
        found = msgspec.json.decode(value, type=_TYPES[key.resource])
        if isinstance(found, Role | ClusterRole):
            self._rules[_role_key(key)] = found.rules
            return
        binding = _Binding(
            f'{found.kind} "{key.name}{"/" + key.namespace if key.namespace else ""}"',
            key.namespace,
            found.role_ref,
            tuple(_word(subject) for subject in found.subjects),
        )
        self._bindings[key] = binding
        for word in binding.subjects:
            self._by_subject[key.namespace][word][key] = None

    def drop(self, key: Key) -> None:
        """It is gone."""
        self._rules.pop(_role_key(key), None)
        binding = self._bindings.pop(key, None)
        if binding is None:
            return
        table = self._by_subject[key.namespace]
        for word in binding.subjects:
            if word in table:
                table[word].pop(key, None)
                if not table[word]:
                    del table[word]
        if not table:
            del self._by_subject[key.namespace]

    # ------------------------------------------------------------ answers

    def decide(self, user: User, wanted: Attributes) -> Decision:
        """Whether some rule of the user allows it; the reason names the binding."""
        for rule, binding in self._held(user, wanted.namespace):
            if allows(rule, wanted):
                role = f'{binding.role.kind} "{binding.role.name}"'
                return Decision(True, f'RBAC: allowed by {binding.title} of {role} to user "{user.name}"')
        return Decision(False)

    def rules(self, user: User, namespace: str) -> list[PolicyRule]:
        """All that the user holds in a namespace ("" is: everywhere)."""
        return [rule for rule, _ in self._held(user, namespace)]

    def role(self, role: RoleRef, namespace: str) -> tuple[PolicyRule, ...] | None:
        """The rules of a role as a binding in `namespace` names it; None when it does not exist."""
        where = namespace if role.kind == "Role" else ""
        return self._rules.get((role.kind, where, role.name))

    def _held(self, user: User, namespace: str) -> Iterator[tuple[PolicyRule, _Binding]]:
        words = [("User", user.name), *(("Group", group) for group in user.groups)]
        for where in ("", namespace) if namespace else ("",):
            table = self._by_subject.get(where)
            if table is None:
                continue
            for word in words:
                for key in tuple(table.get(word, ())):
                    binding = self._bindings[key]
                    for rule in self.role(binding.role, where) or ():
                        yield rule, binding


def sinks(grants: Grants) -> dict[tuple[str, str], list[tuple[object, object]]]:
    """What of a mirror concerns them."""
    return {(GROUP, kind): [(grants.put, grants.drop)] for kind in KINDS}


def _role_key(key: Key) -> tuple[str, str, str]:
    kind = {"roles": "Role", "clusterroles": "ClusterRole"}.get(key.resource, "")
    return kind, key.namespace, key.name


def _word(subject: Subject) -> _Word:
    if subject.kind == "ServiceAccount":
        return "User", f"{ACCOUNT_PREFIX}{subject.namespace}:{subject.name}"
    return subject.kind, subject.name
