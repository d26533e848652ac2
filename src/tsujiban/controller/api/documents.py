"""What a client's object becomes before it is stored: which fields are the client's, which the server's.

Pure. Source: Kubernetes API conventions, "Metadata", "Spec and Status", "Resource operations".
"""

from __future__ import annotations

import secrets
from typing import Any

from tsujiban.controller.api.discovery import has_status
from tsujiban.controller.api.errors import ApiError, bad_request, conflict, invalid
from tsujiban.controller.api.target import Target, name_problem
from tsujiban.resources import versions
from tsujiban.resources.findings import Finding
from tsujiban.resources.registry import Kind
from tsujiban.store import metadata
from tsujiban.store.protocol import Stored

Json = dict[str, Any]

_SERVER_OWNED = (
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "managedFields",
)
_KEPT = ("deletionTimestamp", "deletionGracePeriodSeconds")
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"  # apimachinery util/rand: no vowels, no words


def shaped(body: Any, target: Target) -> Json:
    """`body` as an object of the target's kind and namespace, without its null fields.

    Raises:
        ApiError: it is another kind, or says it lives elsewhere.
    """
    if not isinstance(body, dict):
        raise bad_request("the body is not an object")
    document: Json = without_nulls(body)
    kind = target.kind
    api_version = document.get("apiVersion", target.api_version)
    if api_version not in kind.versions or document.get("kind", kind.kind) != kind.kind:
        said = f"{api_version} {document.get('kind')}"
        raise bad_request(f"the object is {said}, but this path takes {target.api_version} {kind.kind}")
    document = versions.stored(document, api_version)
    metadata = document.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise bad_request("metadata is not an object")
    namespace = metadata.get("namespace") or target.namespace
    if namespace != target.namespace:
        text = f"the namespace of the object ({namespace}) is not that of the request ({target.namespace})"
        raise bad_request(text)
    if kind.namespaced:
        metadata["namespace"] = target.namespace
    else:
        metadata.pop("namespace", None)
    return {"apiVersion": kind.api_version, "kind": kind.kind, **_without_head(document)}


def for_create(document: Json, target: Target) -> Json:
    """A shaped object as it is created: named, without what only the server may set.

    Raises:
        ApiError: the name is missing or not possible, or a resourceVersion is given.
    """
    metadata = document["metadata"]
    if metadata.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    _drop(metadata, _SERVER_OWNED)
    if not metadata.get("name"):
        base = metadata.get("generateName")
        if not isinstance(base, str) or not base:
            raise _invalid_name(target, "", "name or generateName is required")
        metadata["name"] = base[:58] + "".join(secrets.choice(_SUFFIX) for _ in range(5))
    name = metadata["name"]
    problem = name_problem(target.kind, name) if isinstance(name, str) else "must be a string"
    if problem:
        raise _invalid_name(target, str(name), problem)
    if has_status(target.kind):
        document.pop("status", None)
    return document


def for_update(document: Json, current: Json, target: Target) -> Json:
    """A shaped object as it replaces `current`: status, deletion and identity stay as they are.

    Raises:
        ApiError: it has another name or uid.
    """
    _same_object(document, current, target)
    metadata = document["metadata"]
    _drop(metadata, _SERVER_OWNED)
    _take(metadata, current["metadata"], _KEPT)
    if has_status(target.kind):
        document.pop("status", None)
        _take(document, current, ("status",))
    return document


def for_status(document: Json, current: Json, target: Target) -> Json:
    """`current` with the status of a shaped object, and nothing else of it.

    Raises:
        ApiError: it has another name or uid.
    """
    _same_object(document, current, target)
    result = {name: value for name, value in current.items() if name != "status"}
    _take(result, document, ("status",))
    return result


def expected_revision(document: Json) -> int | None:
    """The revision that `metadata.resourceVersion` demands; None for any.

    Raises:
        ApiError: it is not a revision.
    """
    version = document["metadata"].get("resourceVersion")
    if version in (None, ""):
        return None
    return revision(version)


def revision(text: Any) -> int:
    """A resourceVersion as the number that it is.

    Raises:
        ApiError: 400.
    """
    if not isinstance(text, str) or not text.isascii() or not text.isdigit() or len(text) > 18:
        raise bad_request(f"{str(text)[:64]!r} is not a resourceVersion")
    return int(text)


def without_nulls(value: Any) -> Any:
    """A copy without null fields, which mean the same as absent ones. Null list items stay, to be refused."""
    if isinstance(value, dict):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def is_finished(document: Json) -> bool:
    """Whether the object was to be deleted, and now nothing holds it back: no finalizer, no running pod."""
    head = document["metadata"]
    if not head.get("deletionTimestamp") or head.get("finalizers"):
        return False
    over = dig(document, "status", "phase") in ("Succeeded", "Failed")
    return over or not head.get("deletionGracePeriodSeconds")


def lets_go(document: Json, present: Json) -> bool:
    """Whether `document` is `present` with fewer finalizers, and else the same."""
    left, held = (one["metadata"].get("finalizers", []) for one in (document, present))
    return (
        isinstance(left, list)
        and all(name in held for name in left)
        and _without_hold(document) == _without_hold(present)
    )


def _without_hold(document: Json) -> Json:
    head = {**document["metadata"]}
    _drop(head, ("finalizers", *_SERVER_OWNED))
    return {**document, "metadata": head}


def refuse_new_finalizers(document: Json, present: Json, target: Target) -> None:
    """What is being deleted is held back by what held it back before. Raises ApiError: 422."""
    left, held = (one["metadata"].get("finalizers") or [] for one in (document, present))
    if any(name not in held for name in left):
        message = "Forbidden: no new finalizers can be added if the object is being deleted"
        finding = Finding(code="immutable", message=message, field="metadata.finalizers")
        raise _refused(target.kind, target.name, finding)


def json_of(stored: Stored) -> Json:
    """The stored object, decoded."""
    return metadata.decode(stored.value)


def dig(value: Any, *path: str) -> Any:
    """The value at a path of fields of data that may have any form; None when there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _same_object(document: Json, current: Json, target: Target) -> None:
    metadata = document["metadata"]
    name = metadata.setdefault("name", target.name)
    if name != target.name:
        text = f"the name of the object ({name}) is not the name of the request ({target.name})"
        raise bad_request(text)
    uid, present = metadata.get("uid"), current["metadata"].get("uid")
    if uid and uid != present:
        text = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {present}"
        raise conflict(target.qualified, target.name, text)


def _invalid_name(target: Target, name: str, problem: str) -> ApiError:
    finding = Finding(code="invalid-name", message=problem, field="metadata.name")
    return _refused(target.kind, name, finding)


def _refused(kind: Kind, name: str, finding: Finding) -> ApiError:
    return invalid(kind.kind, kind.group, name, [finding])


def _without_head(document: Json) -> Json:
    return {name: value for name, value in document.items() if name not in ("apiVersion", "kind")}


def _drop(mapping: Json, names: tuple[str, ...]) -> None:
    for name in names:
        mapping.pop(name, None)


def _take(mapping: Json, source: Json, names: tuple[str, ...]) -> None:
    for name in names:
        if name in source:
            mapping[name] = source[name]
