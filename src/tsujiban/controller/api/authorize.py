"""Who may do what. One question, asked before every request; RBAC will answer it behind the same name."""

from __future__ import annotations

from typing import Protocol

import msgspec

from tsujiban.controller.api.users import MASTERS, User


class Attributes(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, in RBAC's words. Either a resource or, when `path` is set, a plain path."""

    verb: str  # get, list, watch, create, update, patch, delete, deletecollection
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"{self.verb} path {self.path!r}"
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        where = f" in namespace {self.namespace!r}" if self.namespace else " at the cluster scope"
        sub = f"/{self.subresource}" if self.subresource else ""
        return f"{self.verb} resource {resource + sub!r}{where}"


class Authorizer(Protocol):
    """Decides."""

    async def allowed(self, user: User, wanted: Attributes) -> bool:
        """Whether `user` may. Anything not known to be allowed is not."""


class BuiltIn:
    """Administrators may do all, everybody may discover, a node may read its own Node object.

    Nodes live on the node stream, which carries what is theirs and nothing else.
    """

    async def allowed(self, user: User, wanted: Attributes) -> bool:
        """See `Authorizer.allowed`."""
        if MASTERS in user.groups:
            return True
        if wanted.path:
            return wanted.verb == "get" and _is_discovery(wanted.path)
        own = (wanted.group, wanted.resource, wanted.subresource) == ("", "nodes", "")
        return bool(user.node) and own and wanted.verb == "get" and wanted.name == user.node


def _is_discovery(path: str) -> bool:
    segments = path.strip("/").split("/")
    if segments[0] == "api":
        return len(segments) <= 2
    return segments[0] in ("version", "openapi") or (segments[0] == "apis" and len(segments) <= 3)
