"""The paths of a kind as OpenAPI 3 operations: methods, parameters, bodies.

kubectl looks here for `fieldValidation` before it leaves validation to the server, and for the kind
behind a path before it explains it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tsujiban.resources.openapi import kind_name
from tsujiban.resources.registry import Kind
from tsujiban.resources.schema import built_in

if TYPE_CHECKING:
    from tsujiban.controller.api.dispatch import Table

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_FLAG: Json = {"type": "boolean"}
_NUMBER: Json = {"type": "integer", "minimum": 0, "maximum": 3600}
_DRY_RUN: Json = {"type": "string", "enum": ["All"]}
_VALIDATION: Json = {"type": "string", "enum": ["Ignore", "Warn", "Strict"]}

_LIST = {
    "labelSelector": _TEXT,
    "fieldSelector": _TEXT,
    "limit": _NUMBER,
    "continue": _TEXT,
    "resourceVersion": _TEXT,
    "resourceVersionMatch": {"type": "string", "enum": ["Exact", "NotOlderThan"]},
}
_WATCH = {
    "watch": _FLAG,
    "allowWatchBookmarks": _FLAG,
    "sendInitialEvents": _FLAG,
    "timeoutSeconds": _NUMBER,
}
_WRITE = {"dryRun": _DRY_RUN, "fieldManager": _TEXT, "fieldValidation": _VALIDATION}
_DELETE = {
    "dryRun": _DRY_RUN,
    "gracePeriodSeconds": _NUMBER,
    "propagationPolicy": {"type": "string", "enum": ["Orphan", "Background", "Foreground"]},
}
_PATCHES = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json")
_STRATEGIC = "application/strategic-merge-patch+json"  # clients send what they find here


# statuses of refusals, by whether the operation only reads
_REFUSED_READ = (400, 401, 403, 404, 406, 410, 422, 503, 504)
_REFUSED_WRITE = (*_REFUSED_READ, 408, 409, 413)

STATUS = "io.k8s.apimachinery.pkg.apis.meta.v1.Status"
STATUS_SCHEMA: Json = {
    "type": "object",
    "description": "What became of a request: of every refusal, and of some deletions.",
    "required": ["apiVersion", "kind", "metadata", "status"],
    "properties": {
        "apiVersion": {"type": "string", "description": "v1."},
        "kind": {"type": "string", "description": "Status."},
        "metadata": {"type": "object", "description": "Of a list that cannot go on: where it can."},
        "status": {"type": "string", "description": "Success or Failure.", "enum": ["Success", "Failure"]},
        "code": {"type": "integer", "format": "int32", "description": "The HTTP status."},
        "reason": {"type": "string", "description": "Why, in one word for programs."},
        "message": {"type": "string", "description": "Why, for people."},
        "details": {"type": "object", "description": "The object, and each field that is wrong."},
    },
    "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "Status"}],
}


def paths(kind: Kind, api_version: str, table: Table) -> dict[str, Json]:
    """The paths of a kind in one version."""
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    where = f"{root}/namespaces/{{namespace}}" if kind.namespaced else root
    make = _Maker(kind, api_version)
    collection, named = f"{where}/{kind.plural}", f"{where}/{kind.plural}/{{name}}"
    if table.kind(api_version, kind.plural) is not None:
        return {collection: make.path(post=make.operation("post", _WRITE, body=True))}
    listing = make.operation("list", {**_LIST, **_WATCH}, result=make.name + "List")
    found = {
        collection: make.path(
            get=listing,
            post=make.operation("post", _WRITE, body=True),
            delete=make.operation("deletecollection", {**_LIST, **_DELETE}),
        ),
        named: make.path(
            named=True,
            get=make.operation("get", {}),
            put=make.operation("put", _WRITE, body=True),
            patch=make.operation("patch", {**_WRITE, "force": _FLAG}, patch=True),
            delete=make.operation("delete", _DELETE),
        ),
    }
    if kind.namespaced:
        everywhere = make.operation("list", {**_LIST, **_WATCH}, result=make.name + "List")
        found[f"{root}/{kind.plural}"] = make.path(everywhere=True, get=everywhere)
    if any(entry.name == "status" for entry in table.of_kind(kind)):
        found[f"{named}/status"] = make.path(
            named=True,
            get=make.operation("get", {}),
            put=make.operation("put", _WRITE, body=True),
            patch=make.operation("patch", {**_WRITE, "force": _FLAG}, patch=True),
        )
    return found


class _Maker:
    """Makes operations of one kind."""

    def __init__(self, kind: Kind, api_version: str) -> None:
        group, _, version = api_version.rpartition("/")
        self.name = kind_name(kind, api_version)
        self._kind = kind
        self._head = {"group": group, "version": version, "kind": kind.kind}

    def path(self, *, named: bool = False, everywhere: bool = False, **operations: Json) -> Json:
        """A path item. `named` has an object's name in its path, `everywhere` no namespace."""
        in_path = (["namespace"] if self._kind.namespaced and not everywhere else []) + ["name"] * named
        parameters = [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in in_path]
        return {**operations, **({"parameters": parameters} if parameters else {})}

    def operation(
        self,
        action: str,
        parameters: dict[str, Json],
        *,
        body: bool = False,
        patch: bool = False,
        result: str = "",
    ) -> Json:
        """One operation; `action` is the verb as Kubernetes' document has it."""
        reference = {"$ref": f"#/components/schemas/{self.name}"}
        answer = {"$ref": f"#/components/schemas/{result}"} if result else reference
        if action.startswith("delete"):
            answer = {"type": "object"}  # the object, or a Status
        content = {"application/json": {"schema": answer}}
        refused: tuple[int, ...] = _REFUSED_READ if action in ("get", "list") else _REFUSED_WRITE
        if body or patch:
            refused = (*refused, 415)
        found: Json = {
            "parameters": [{"name": name, "in": "query", "schema": of} for name, of in parameters.items()],
            "responses": {
                "200": {"description": "OK", "content": content},
                **{str(code): _refusal(code) for code in refused},
            },
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": self._head,
        }
        if body:
            found["requestBody"] = {"required": True, "content": {"application/json": {"schema": reference}}}
        if body or patch:
            found["responses"]["201"] = {"description": "Created", "content": content}
        if patch:
            taken = (*_PATCHES, *((_STRATEGIC,) if built_in(self._kind) else ()))
            media = {name: {"schema": {"type": "object"}} for name in taken}
            found["requestBody"] = {"required": True, "content": media}
        return found


def _refusal(code: int) -> Json:
    schema = {"$ref": f"#/components/schemas/{STATUS}"}
    return {"description": HTTPStatus(code).phrase, "content": {"application/json": {"schema": schema}}}
