"""What is served beside stored objects: subresources, and virtual kinds that are created but not kept.

One table says, for `(group, plural, subresource)`, which HTTP method is which verb and who answers; and for
a virtual kind (say, SubjectAccessReview) who answers its creation. Paths, authorization and discovery are all
derived from it, so nothing can be served that is not listed, or listed that is not served.

To add one: make a `Subresource` or a `Virtual` in a module of its own and register it in the table that is
given to `create_app` (see `tsujiban.controller.__main__`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tsujiban.controller.api import collection, writes
from tsujiban.controller.api.discovery import has_status
from tsujiban.controller.api.errors import method_not_allowed, path_not_found
from tsujiban.controller.api.target import Target
from tsujiban.controller.api.users import User
from tsujiban.resources.registry import KINDS, Kind
from tsujiban.store.protocol import Store


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request, authenticated and authorized."""

    store: Store
    target: Target
    request: Request
    user: User
    verb: str


Handler = Callable[[Call], Awaitable[Response]]

OBJECT_VERBS: Mapping[str, str] = {"GET": "get", "PUT": "update", "PATCH": "patch"}
CREATE: Mapping[str, str] = {"POST": "create"}
# Kubernetes asks for `create` however the connection is upgraded: who may only read must not run commands
CONNECT: Mapping[str, str] = {"GET": "create", "POST": "create"}


class Subresource(msgspec.Struct, frozen=True, kw_only=True):
    """A path below an object, e.g. `pods/NAME/log`.

    `verbs` says which verb, as RBAC knows it, each HTTP method is. `kind` and `api_version` are of the object
    that is exchanged there (Scale of autoscaling/v1), when it is not the parent's kind.
    """

    group: str
    plural: str
    name: str
    verbs: Mapping[str, str]
    handler: Handler
    kind: str = ""
    api_version: str = ""


class Virtual(msgspec.Struct, frozen=True, kw_only=True):
    """A kind whose objects are created, answered and forgotten. It is not in the registry of stored kinds."""

    kind: Kind
    handler: Handler


class Table:
    """All of them. A new table knows `status` of every kind that has one."""

    def __init__(self) -> None:
        self._subresources: dict[tuple[str, str, str], Subresource] = {}
        self._virtual: dict[tuple[str, str], Virtual] = {}  # by apiVersion and plural
        for kind in KINDS:
            if has_status(kind):
                self.add(
                    Subresource(
                        group=kind.group,
                        plural=kind.plural,
                        name="status",
                        verbs=OBJECT_VERBS,
                        handler=_status,
                    )
                )

    def add(self, *entries: Subresource | Virtual) -> None:
        """Register; a later entry replaces an earlier one of the same path."""
        for entry in entries:
            if isinstance(entry, Subresource):
                self._subresources[entry.group, entry.plural, entry.name] = entry
            else:
                for version in entry.kind.versions:
                    self._virtual[version, entry.kind.plural] = entry

    def of_kind(self, kind: Kind) -> list[Subresource]:
        """The subresources of a kind, in the order they were registered."""
        return [s for s in self._subresources.values() if (s.group, s.plural) == (kind.group, kind.plural)]

    def virtual_kinds(self) -> Iterator[Kind]:
        """All virtual kinds."""
        seen = {id(entry.kind): entry.kind for entry in self._virtual.values()}
        return iter(seen.values())

    def kind(self, api_version: str, plural: str) -> Kind | None:
        """The virtual kind behind a path, if there is one."""
        entry = self._virtual.get((api_version, plural))
        return entry.kind if entry else None

    def find(self, target: Target, method: str) -> tuple[str, Handler] | None:
        """Verb and handler; None when `target` is a stored object or collection itself.

        Raises:
            ApiError: there is no such subresource, or not with this method.
        """
        verbs: Mapping[str, str]
        virtual = self._virtual.get((target.api_version, target.kind.plural))
        if target.subresource:
            found = self._subresources.get((target.kind.group, target.kind.plural, target.subresource))
            if found is None:
                raise path_not_found()
            verbs, handler = found.verbs, found.handler
        elif virtual is not None:
            if target.name:
                raise path_not_found()
            verbs, handler = CREATE, virtual.handler
        else:
            return None
        verb = verbs.get(method)
        if verb is None:
            raise method_not_allowed(method)
        return verb, handler


async def _status(call: Call) -> Response:
    act = {"get": collection.get, "update": writes.update, "patch": writes.patched}[call.verb]
    return await act(call.store, call.target, call.request)
