"""Writing: create, update, patch and delete of one object, and delete of a collection."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tsujiban.controller.api import admission, documents, patch, query
from tsujiban.controller.api.collection import shown
from tsujiban.controller.api.documents import expected_revision, for_create, for_status, for_update, shaped
from tsujiban.controller.api.errors import bad_request, conflict, not_acceptable
from tsujiban.controller.api.guard import judge
from tsujiban.controller.api.responses import JSON, OBJECT_BYTES, json_response, parse_json, read_body
from tsujiban.controller.api.target import Target
from tsujiban.store import metadata
from tsujiban.store.protocol import Check, Conflict, Create, Delete, Operation, Store, Stored, Update

Json = dict[str, Any]
Change = Callable[[Json], Json]  # of the present object, as the client sees it

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
PATCH_ATTEMPTS = 8


async def create(store: Store, target: Target, request: Request) -> Response:
    """POST to a collection."""
    _needs_json(request)
    dry_run = query.dry_run(request.query_params)
    body = parse_json(await read_body(request, OBJECT_BYTES))
    named = target
    if target.kind.namespaced and not target.namespace:
        raise bad_request(f"objects of kind {target.kind.kind} are created in a namespace")
    document = for_create(shaped(body, target), target)
    named = msgspec.structs.replace(target, name=document["metadata"]["name"])
    request.state.created = named.name  # for the audit log
    checks = await admission.admit(store, target.kind, document)
    value = metadata.encode(document)
    if dry_run:
        await judge(store, Create(named.key, value))
        return shown(Stored(named.key, metadata.created(value, 0), 0), target, request, 201)
    made = await _write(store, [*checks, Create(named.key, value)])
    return shown(made, target, request, 201)


async def update(store: Store, target: Target, request: Request) -> Response:
    """PUT of one object, or of its status."""
    _needs_json(request)
    body = parse_json(await read_body(request, OBJECT_BYTES))
    document = shaped(body, target)
    expected = expected_revision(document)
    return await _change(store, target, request, lambda _current: shaped(body, target), expected)


async def patched(store: Store, target: Target, request: Request) -> Response:
    """PATCH of one object, or of its status."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    changes = parse_json(await read_body(request, OBJECT_BYTES))
    apply = _patch(media, changes)
    expected = None
    if isinstance(changes, dict) and isinstance(changes.get("metadata"), dict):
        expected = expected_revision(changes)
    return await _change(store, target, request, lambda current: shaped(apply(current), target), expected)


async def delete(store: Store, target: Target, request: Request) -> Response:
    """DELETE of one object: at once, or, while finalizers hold it, later."""
    options = await _delete_options(request)
    preconditions = options.get("preconditions")
    preconditions = preconditions if isinstance(preconditions, dict) else {}
    version = preconditions.get("resourceVersion")
    expected = documents.revision(version) if version else None
    uid = str(preconditions.get("uid") or "")
    await admission.admit_deletion(store, target.kind, target.name)
    current = await store.get(target.key)
    if query.dry_run(request.query_params) or options.get("dryRun"):
        await judge(store, Delete(target.key))
        return shown(current, target, request)
    if json_of(current)["metadata"].get("finalizers"):
        return shown(await _mark(store, target, uid, expected), target, request)
    return json_response(_deleted(target, await store.delete(target.key, expected, uid)))


async def delete_all(store: Store, target: Target, request: Request) -> Response:
    """DELETE of a collection: of what the selectors select."""
    options = await _delete_options(request)
    predicate = query.predicate(request.query_params)
    listing = await store.list(target.kind.group, target.kind.plural, target.namespace or None)
    chosen = [item for item in listing.items if predicate is None or predicate(json_of(item))]
    operations: list[Operation] = []
    for item in chosen:
        await admission.admit_deletion(store, target.kind, item.key.name)
        if json_of(item)["metadata"].get("finalizers"):
            operations.append(Update(item.key, metadata.encode(_marked(json_of(item))), item.revision))
        else:
            operations.append(Delete(item.key, item.revision))
    if operations and not (query.dry_run(request.query_params) or options.get("dryRun")):
        await store.transaction(operations)
    head = {"kind": f"{target.kind.kind}List", "apiVersion": target.api_version}
    found = {
        "metadata": {"resourceVersion": str(await store.revision())},
        "items": [json_of(i) for i in chosen],
    }
    return json_response(head | found)


def json_of(stored: Stored) -> Json:
    """The stored object, decoded."""
    return metadata.decode(stored.value)


async def _change(
    store: Store, target: Target, request: Request, change: Change, expected: int | None
) -> Response:
    """Read, change, judge, write; again when somebody was faster and the client named no revision."""
    dry_run = query.dry_run(request.query_params)
    for attempt in range(PATCH_ATTEMPTS):
        current = await store.get(target.key)
        if expected is not None and expected != current.revision:
            raise Conflict(target.key, expected, current.revision)
        present = json_of(current)
        changed = change({**present, "apiVersion": target.api_version})
        document = (
            for_status(changed, present, target)
            if target.subresource == "status"
            else for_update(changed, present, target)
        )
        checks = await _admit_change(store, target, document, present)
        value = metadata.encode(document)
        if dry_run:
            await judge(store, Update(target.key, value, current.revision))
            result = metadata.updated(current.value, value, current.revision) or current.value
            return shown(Stored(target.key, result, current.revision), target, request)
        try:
            if documents.is_finished(document):
                gone = await store.delete(target.key, current.revision)
                return json_response(_deleted(target, gone))
            written = await _write(store, [*checks, Update(target.key, value, current.revision)])
        except Conflict:
            if expected is not None or attempt == PATCH_ATTEMPTS - 1:
                raise
            continue
        return shown(written, target, request)
    raise conflict(target.qualified, target.name, "the object changes all the time")


async def _admit_change(store: Store, target: Target, document: Json, present: Json) -> list[Check]:
    if present["metadata"].get("deletionTimestamp"):
        return []  # what is going away, and perhaps its namespace first, must be able to lose finalizers
    return await admission.admit(store, target.kind, document)


async def _write(store: Store, operations: list[Operation]) -> Stored:
    written = (await store.transaction(operations))[-1]
    if written is None:
        raise TypeError("the last operation must be the write")
    return written


def _patch(media: str, changes: Any) -> Change:
    if media == JSON_PATCH:
        return lambda current: patch.json_patch(current, changes)
    if not isinstance(changes, dict):
        raise bad_request("the patch is not an object")
    if media == MERGE:
        return lambda current: patch.merge_patch(current, changes)
    if media == STRATEGIC:
        return lambda current: patch.strategic_merge(current, changes)
    raise not_acceptable(
        f"patches of type {media or 'none'} are not known: {MERGE}, {STRATEGIC}, {JSON_PATCH}"
    )


def _needs_json(request: Request) -> None:
    media = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if media != JSON:
        raise not_acceptable(f"the body must be {JSON}, not {media}")


async def _delete_options(request: Request) -> Json:
    body = await read_body(request, OBJECT_BYTES)
    options = parse_json(body) if body.strip() else {}
    if not isinstance(options, dict):
        raise bad_request("the body is not a DeleteOptions object")
    policy = options.get("propagationPolicy") or request.query_params.get("propagationPolicy")
    if policy == "Orphan" or options.get("orphanDependents"):
        raise bad_request("propagationPolicy Orphan is not served: owned objects would be deleted, not kept")
    return options


async def _mark(store: Store, target: Target, uid: str, expected: int | None) -> Stored:
    """Set the deletion time; whoever removes the last finalizer deletes."""

    async def attempt() -> Stored:
        current = await store.get(target.key)
        if expected is not None and expected != current.revision:
            raise Conflict(target.key, expected, current.revision)
        document = json_of(current)
        if uid and uid != document["metadata"].get("uid"):
            raise Conflict(target.key, uid, str(document["metadata"].get("uid")))
        return await store.update(target.key, metadata.encode(_marked(document)), current.revision)

    return await retried(attempt)


def _marked(document: Json) -> Json:
    document["metadata"].setdefault("deletionTimestamp", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    document["metadata"].setdefault("deletionGracePeriodSeconds", 0)
    return document


async def retried(attempt: Callable[[], Awaitable[Stored]]) -> Stored:
    """`attempt`, again while others are faster."""
    for _ in range(PATCH_ATTEMPTS - 1):
        try:
            return await attempt()
        except Conflict:
            continue
    return await attempt()


def _deleted(target: Target, gone: Stored) -> Json:
    details = {"name": target.name, "kind": target.kind.plural, "uid": metadata.uid(gone.value)}
    if target.kind.group:
        details["group"] = target.kind.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
