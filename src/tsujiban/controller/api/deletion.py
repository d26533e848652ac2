"""Deleting: one object or a collection; at once, or when those have finished who must.

A finalizer holds an object back: it is marked with the time, and whoever removes the last finalizer
deletes it. `propagationPolicy` is such a finalizer too, which the garbage collector works off. A pod
that runs on a node is marked, and goes when its node has ended it. Source: Kubernetes "Garbage
Collection", "Pod Lifecycle".
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from tsujiban.controller.api import admission, bodies, documents, protobuf, query
from tsujiban.controller.api.collection import shown
from tsujiban.controller.api.errors import ApiError, bad_request, conflict, unsupported_media
from tsujiban.controller.api.guard import judge
from tsujiban.controller.api.responses import OBJECT_BYTES, json_response, parse_json, read_body
from tsujiban.controller.api.target import Target
from tsujiban.controller.reconcile.ending import grace_seconds
from tsujiban.resources.registry import Kind
from tsujiban.store import metadata
from tsujiban.store.protocol import Conflict, Delete, Operation, Store, Stored, Update

Json = dict[str, Any]

ATTEMPTS = 8
ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
_POLICIES = {"Orphan": ORPHAN, "Foreground": FOREGROUND, "Background": ""}
_MAX_GRACE = 2**31


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """DeleteOptions. `finalizer` None keeps those that the object has; "" takes both of the collector's
    away."""

    grace_seconds: int | None = None
    finalizer: str | None = None
    uid: str = ""
    revision: int | None = None
    dry_run: bool = False


async def delete(store: Store, target: Target, request: Request) -> Response:
    """DELETE of one object."""
    return await delete_with(store, target, request, await read_options(request))


async def delete_with(store: Store, target: Target, request: Request, options: Options) -> Response:
    """The same, with options that the caller has read."""
    await admission.admit_deletion(store, target.kind, target.name)

    async def attempt() -> Response:
        current = await store.get(target.key)
        check(current, target, options)
        marked = _marked(documents.json_of(current), target.kind, options)
        if marked is None:
            if options.dry_run:
                await judge(store, Delete(target.key))
                return json_response(deleted_status(target, current))
            return json_response(deleted_status(target, await store.delete(target.key, current.revision)))
        value = metadata.encode(marked)
        if options.dry_run:
            await judge(store, Update(target.key, value, current.revision))
            imagined = metadata.updated(current.value, value, current.revision) or current.value
            return shown(Stored(target.key, imagined, current.revision), target, request)
        return shown(await store.update(target.key, value, current.revision), target, request)

    return await _retried(attempt)


async def delete_all(store: Store, target: Target, request: Request) -> Response:
    """DELETE of a collection: of what the selectors select."""
    options = await read_options(request)
    predicate = query.predicate(request.query_params, target.kind)

    async def attempt() -> Response:
        listing = await store.list(target.kind.group, target.kind.plural, target.namespace or None)
        chosen = [item for item in listing.items if predicate is None or predicate(documents.json_of(item))]
        operations: list[Operation] = []
        for item in chosen:
            await admission.admit_deletion(store, target.kind, item.key.name)
            marked = _marked(documents.json_of(item), target.kind, options)
            if marked is None:
                operations.append(Delete(item.key, item.revision))
            else:
                operations.append(Update(item.key, metadata.encode(marked), item.revision))
        if operations and not options.dry_run:
            await store.transaction(operations)
        elif options.dry_run:
            for operation in operations:
                await judge(store, operation)
        head = {"kind": f"{target.kind.kind}List", "apiVersion": target.api_version}
        found = {
            "metadata": {"resourceVersion": str(await store.revision())},
            "items": [documents.json_of(i) for i in chosen],
        }
        return json_response(head | found)

    return await _retried(attempt)


async def read_options(request: Request) -> Options:
    """DeleteOptions, from the body or the query.

    Raises:
        ApiError: 400, 415 or 422.
    """
    body = await read_body(request, OBJECT_BYTES)
    media = bodies.media_type(request)
    if body and media not in (*bodies.KNOWN, "application/x-www-form-urlencoded"):  # curl says the latter
        raise unsupported_media(bodies.KNOWN)
    written: Any = {}
    if media == protobuf.MEDIA_TYPE:
        written = protobuf.decode(body) if body else {}
    elif body.strip():
        written = bodies.parse_yaml(body) if media == bodies.YAML else parse_json(body)
    if not isinstance(written, dict):
        raise bad_request("the body is not a DeleteOptions object")
    return options_of(written, request.query_params)


def options_of(written: Json, parameters: QueryParams) -> Options:
    """DeleteOptions as they were written; the query says what they do not. Raises ApiError: 400 or 422."""
    preconditions = written.get("preconditions") or {}
    if not isinstance(preconditions, dict):
        raise bad_request("preconditions of DeleteOptions must be an object")
    version = preconditions.get("resourceVersion")
    dry_run = written.get("dryRun") or []
    if dry_run not in ([], ["All"]):
        raise _invalid('dryRun: Unsupported value: supported values: "All"')
    return Options(
        grace_seconds=_grace(written.get("gracePeriodSeconds", parameters.get("gracePeriodSeconds"))),
        finalizer=_finalizer(
            written.get("propagationPolicy") or parameters.get("propagationPolicy"),
            written.get("orphanDependents", parameters.get("orphanDependents")),
        ),
        uid=str(preconditions.get("uid") or ""),
        revision=documents.revision(version) if version else None,
        dry_run=bool(dry_run) or query.dry_run(parameters),
    )


def deleted_status(target: Target, gone: Stored) -> Json:
    """The answer when the object is gone."""
    details = {"name": target.name, "kind": target.kind.plural, "uid": metadata.uid(gone.value)}
    if target.kind.group:
        details["group"] = target.kind.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _grace(said: Any) -> int | None:
    if said is None or said == "":
        return None
    number = int(said) if isinstance(said, str) and said.isascii() and said.isdigit() else said
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < _MAX_GRACE:
        raise _invalid("gracePeriodSeconds: Invalid value: must be a non-negative whole number")
    return number


def _finalizer(policy: Any, orphan: Any) -> str | None:
    if policy and orphan is not None:
        raise _invalid("propagationPolicy: Invalid value: orphanDependents and it may not both be set")
    if orphan is not None:
        return ORPHAN if orphan in (True, "true", "1") else ""
    if not policy:
        return None
    if not isinstance(policy, str) or policy not in _POLICIES:
        names = ", ".join(f'"{name}"' for name in sorted(_POLICIES))
        raise _invalid(f"propagationPolicy: Unsupported value: supported values: {names}")
    return _POLICIES[policy]


def _invalid(what: str) -> ApiError:
    return ApiError(422, "Invalid", f'DeleteOptions.meta.k8s.io "" is invalid: {what}')


def check(current: Stored, target: Target, options: Options) -> None:
    """The preconditions. Raises ApiError: 409."""
    present = metadata.uid(current.value)
    if options.uid and options.uid != present:
        text = f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {present}"
        raise conflict(target.qualified, target.name, text)
    if options.revision is not None and options.revision != current.revision:
        text = (
            f"Precondition failed: ResourceVersion in precondition: {options.revision}, "
            f"ResourceVersion in object meta: {current.revision}"
        )
        raise conflict(target.qualified, target.name, text)


def _marked(document: Json, kind: Kind, options: Options) -> Json | None:
    """The object as it waits for its end; None when nothing holds it."""
    head = document["metadata"]
    finalizers = list(head.get("finalizers") or [])
    if options.finalizer is not None:
        finalizers = [name for name in finalizers if name not in (ORPHAN, FOREGROUND)]
        finalizers += [options.finalizer] if options.finalizer else []
    grace = _grace_of(document, kind, options)
    if not finalizers and not grace:
        return None
    before = head.get("deletionGracePeriodSeconds")
    if head.get("deletionTimestamp") is None or (before is not None and grace < before):
        when = time.time() + grace
        head["deletionTimestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))
        head["deletionGracePeriodSeconds"] = grace
    head.pop("finalizers", None)
    if finalizers:
        head["finalizers"] = finalizers
    return document


def _grace_of(document: Json, kind: Kind, options: Options) -> int:
    """How long the object may take to end, in seconds: only a pod that runs somewhere takes any."""
    if (kind.group, kind.plural) != ("", "pods") or not document["spec"].get("nodeName"):
        return 0
    status = document.get("status") or {}
    if not status.get("podIP") or status.get("phase") in ("Succeeded", "Failed"):
        return 0  # it has not begun, or is over
    if options.grace_seconds is not None:
        return options.grace_seconds
    return grace_seconds(document)


async def _retried(attempt: Callable[[], Awaitable[Response]]) -> Response:
    """`attempt`, again while others are faster."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await attempt()
        except Conflict:
            continue
    return await attempt()
