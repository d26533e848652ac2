"""Writing: create, update, patch and apply of one object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tsujiban.controller.api import (
    admission,
    bodies,
    defaulting,
    documents,
    generated,
    managed,
    patch,
    query,
    validation,
)
from tsujiban.controller.api.aside import worked
from tsujiban.controller.api.collection import shown
from tsujiban.controller.api.deletion import deleted_status
from tsujiban.controller.api.documents import expected_revision, for_create, for_status, for_update, shaped
from tsujiban.controller.api.errors import ApiError, bad_request, conflict, unsupported_media
from tsujiban.controller.api.guard import judge
from tsujiban.controller.api.managed import Writer
from tsujiban.controller.api.responses import (
    OBJECT_BYTES,
    json_response,
    parse_json,
    read_body,
    received,
)
from tsujiban.controller.api.target import Target
from tsujiban.resources import schema, versions
from tsujiban.store import metadata
from tsujiban.store.protocol import (
    AlreadyExists,
    Check,
    Conflict,
    Create,
    NotFound,
    Operation,
    Store,
    Stored,
    Update,
)

Json = dict[str, Any]
Change = Callable[[Json], Json]  # of the present object, as the client sees it
Show = Callable[[Stored, Target, Request], Response]

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
ATTEMPTS = 8
GENERATE_ATTEMPTS = 7  # as Kubernetes': a generated name that is taken is generated anew


async def create(store: Store, target: Target, request: Request) -> Response:
    """POST to a collection."""
    dry_run = query.dry_run(request.query_params)
    body = await bodies.read_object(request, target.kind.type)
    if target.kind.namespaced and not target.namespace:
        raise bad_request(f"objects of kind {target.kind.kind} are created in a namespace")
    generated = isinstance(body, dict) and not (documents.dig(body, "metadata", "name"))
    for attempt in range(GENERATE_ATTEMPTS):
        document = for_create(shaped(body, target), target)
        try:
            return await _create(store, target, request, document, dry_run=dry_run)
        except AlreadyExists:
            if not generated or attempt == GENERATE_ATTEMPTS - 1:
                raise
    raise conflict(target.qualified, "", "no generated name was free")


async def _create(
    store: Store, target: Target, request: Request, document: Json, *, dry_run: bool
) -> Response:
    named = msgspec.structs.replace(target, name=document["metadata"]["name"])
    request.state.created = named.name  # for the audit log
    document = await worked(received(request), _made, document, target, request)
    return await _store_new(store, named, request, document, dry_run=dry_run)


def _made(document: Json, target: Target, request: Request) -> Json:
    document = defaulting.filled(validation.known_fields(document, target.kind, request), target.kind)
    return managed.updated(None, document, None, writer(target, request), schema.of(target.kind))


async def _store_new(
    store: Store, target: Target, request: Request, document: Json, *, dry_run: bool
) -> Response:
    checks = await _admitted(store, target, request, document)
    await admission.admit_account(store, target.kind, document)
    document, uid = generated.identified(document, target.kind)
    value = metadata.encode(document)
    if dry_run:
        await admission.demand(store, checks)
        if await admission.find(store, target.key) is not None:
            raise AlreadyExists(target.key)
        await judge(store, Create(target.key, value))
        imagined = metadata.created(
            value, None, uid
        )  # without a version, clients know that it is not there yet
        return shown(Stored(target.key, imagined, 0), target, request, 201)
    made = await write(store, [*checks, Create(target.key, value, uid)])
    return shown(made, target, request, 201)


async def update(store: Store, target: Target, request: Request) -> Response:
    """PUT of one object, or of its status."""
    body = await bodies.read_object(request, target.kind.type)
    expected = expected_revision(shaped(body, target))
    return await change(store, target, request, lambda _current: shaped(body, target), expected)


async def patched(store: Store, target: Target, request: Request) -> Response:
    """PATCH of one object, or of its status."""
    media = bodies.media_type(request)
    if media == APPLY:
        return await _applied(store, target, request)
    if "force" in request.query_params:
        raise _options_invalid("force: Forbidden: may not be specified for non-apply patch")
    changes = parse_json(await read_body(request, OBJECT_BYTES))
    apply = patch_of(media, changes, target)
    expected = None
    if isinstance(changes, dict) and isinstance(changes.get("metadata"), dict):
        expected = expected_revision(changes)

    def patched(current: Json) -> Json:
        return shaped(apply(versions.shown(current, target.api_version)), target)

    return await change(store, target, request, patched, expected)


async def _applied(store: Store, target: Target, request: Request) -> Response:
    """Server-side apply: what the manager wants, whether the object exists or not."""
    if not request.query_params.get("fieldManager"):
        raise _options_invalid("fieldManager: Required value: is required for apply patch")
    force = query.flag(request.query_params, "force")
    body = await read_body(request, OBJECT_BYTES)
    config = _configuration(await worked(len(body), bodies.parse_yaml, body), target)
    config = await worked(len(body), validation.known_fields, config, target.kind, request)
    expected = expected_revision(config)
    config["metadata"].pop("resourceVersion", None)
    who, of = writer(target, request), schema.of(target.kind)

    def apply(present: Json) -> Json:
        document = managed.applied(present, config, who, of, force=force)
        return managed.with_last_applied(document, config) if who.name == managed.KUBECTL else document

    for _ in range(ATTEMPTS):
        try:
            return await change(store, target, request, apply, expected, manages=True)
        except NotFound as error:
            if error.key != target.key or target.subresource:
                raise
        if expected is not None:
            raise conflict(target.qualified, target.name, "it does not exist, but a resourceVersion is given")
        dry_run = query.dry_run(request.query_params)
        document = await worked(received(request), managed.applied, None, config, who, of, force=force)
        entries = document["metadata"].get("managedFields")
        document = defaulting.filled(_with_managed(for_create(document, target), entries), target.kind)
        try:
            return await _store_new(store, target, request, document, dry_run=dry_run)
        except AlreadyExists:
            continue  # somebody was faster
    raise conflict(target.qualified, target.name, "the object changes all the time")


def _configuration(body: Any, target: Target) -> Json:
    if not isinstance(body, dict):
        raise bad_request("the body is not an object")
    for name, wanted in (("apiVersion", target.api_version), ("kind", target.kind.kind)):
        if body.get(name) != wanted:
            said = str(body.get(name, ""))[:253]
            raise bad_request(f"{name} of an object to apply must be {wanted!r} as in its path, not {said!r}")
    if documents.dig(body, "metadata", "managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    config = shaped(body, target)
    if config["metadata"].setdefault("name", target.name) != target.name:
        text = f"the name of the object ({config['metadata']['name']}) is not the name of the request"
        raise bad_request(f"{text} ({target.name})")
    return config


async def change(
    store: Store,
    target: Target,
    request: Request,
    make: Change,
    expected: int | None,
    *,
    manages: bool = False,
    show: Show = shown,
) -> Response:
    """Read, change, judge, write; again when somebody was faster and the client named no revision.

    `manages` says that `make` has set managedFields itself; `show` makes the answer.
    """
    dry_run = query.dry_run(request.query_params)
    for attempt in range(ATTEMPTS):
        current = await store.get(target.key)
        if expected is not None and expected != current.revision:
            raise Conflict(target.key, expected, current.revision)
        present = documents.json_of(current)
        size = len(current.value) + received(request)
        document = await worked(size, _changed, present, make, target, request, manages=manages)
        checks = await _admit_change(store, target, request, document, present)
        value = metadata.encode(document)
        if dry_run:
            await admission.demand(store, checks)
            await judge(store, Update(target.key, value, current.revision))
            result = metadata.updated(current.value, value, current.revision) or current.value
            return show(Stored(target.key, result, current.revision), target, request)
        try:
            if documents.is_finished(document):
                gone = await store.delete(target.key, current.revision)
                return json_response(deleted_status(target, gone))
            written = await write(store, [*checks, Update(target.key, value, current.revision)])
        except Conflict:
            if expected is not None or attempt == ATTEMPTS - 1:
                raise
            continue
        return show(written, target, request)
    raise conflict(target.qualified, target.name, "the object changes all the time")


def _changed(present: Json, make: Change, target: Target, request: Request, *, manages: bool) -> Json:
    of_status = target.subresource == "status"
    made = make({**present, "apiVersion": target.api_version})
    made["apiVersion"] = target.kind.api_version
    given = made["metadata"].get("managedFields") if manages or not of_status else None
    document = for_status(made, present, target) if of_status else for_update(made, present, target)
    if manages:
        document = _with_managed(document, given)
        return document if of_status else defaulting.filled(document, target.kind)
    if not of_status:
        document = defaulting.filled(validation.known_fields(document, target.kind, request), target.kind)
    if "managedFields" in present["metadata"] and given is None and not of_status:
        given = present["metadata"]["managedFields"]
    return managed.updated(present, document, given, writer(target, request), schema.of(target.kind))


def _with_managed(document: Json, entries: Any) -> Json:
    head = {name: value for name, value in document["metadata"].items() if name != "managedFields"}
    return {**document, "metadata": head | ({"managedFields": entries} if entries else {})}


async def _admit_change(
    store: Store, target: Target, request: Request, document: Json, present: Json
) -> list[Check]:
    if not present["metadata"].get("deletionTimestamp"):
        return await _admitted(store, target, request, document)
    # what is going away, and perhaps its namespace first, must be able to lose finalizers, whatever it is
    if not documents.lets_go(document, defaulting.filled(present, target.kind)):
        await _admitted(store, target, request, document)
        documents.refuse_new_finalizers(document, present, target)
    return []


async def _admitted(store: Store, target: Target, request: Request, document: Json) -> list[Check]:
    return await admission.admit(
        store,
        target.kind,
        document,
        warn=lambda text: validation.warn(request, text),
        size=received(request),
    )


async def write(store: Store, operations: list[Operation]) -> Stored:
    """Do all; what the last one wrote."""
    written = (await store.transaction(operations))[-1]
    if written is None:
        raise TypeError("the last operation must be the write")
    return written


def writer(target: Target, request: Request) -> Writer:
    """Who manages what this request writes: `fieldManager`, or what the client calls itself.

    Raises:
        ApiError: 422, the name is too long or not printable.
    """
    name = request.query_params.get("fieldManager", "")
    if len(name) > 128:
        raise _options_invalid("fieldManager: Too long: may not be more than 128 bytes")
    if not name.isprintable():
        raise _options_invalid("fieldManager: Invalid value: should only contain printable characters")
    if not name:
        agent = request.headers.get("user-agent", "").partition("/")[0]
        name = "".join(character for character in agent if character.isprintable())[:128] or "unknown"
    return Writer(name, target.api_version, target.subresource, managed.now())


def _options_invalid(what: str) -> ApiError:
    return ApiError(422, "Invalid", f'PatchOptions.meta.k8s.io "" is invalid: {what}')


def patch_of(media: str, changes: Any, target: Target) -> Change:
    """What a patch of some type does. Raises ApiError: 400, 415."""
    if media == JSON_PATCH:
        return lambda current: patch.json_patch(current, changes)
    built_in = schema.built_in(target.kind)
    if media == MERGE or (media == STRATEGIC and built_in):
        if not isinstance(changes, dict):
            raise bad_request("the patch is not an object")
        if media == MERGE:
            return lambda current: patch.merge_patch(current, changes)
        return lambda current: patch.strategic_merge(current, changes, schema.of(target.kind))
    known = (JSON_PATCH, MERGE, *((STRATEGIC,) if built_in else ()), APPLY)
    raise unsupported_media(known)
