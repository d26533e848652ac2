"""Reading: get, list and watch of a kind, as objects or as a table."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from tsujiban.controller.api import query, tables, watches
from tsujiban.controller.api.errors import expired_page, gone, too_new
from tsujiban.controller.api.handover import HandedOver
from tsujiban.controller.api.responses import compressed, json_response
from tsujiban.controller.api.tables import Representation
from tsujiban.controller.api.target import Target
from tsujiban.controller.api.watches import converted
from tsujiban.resources import versions
from tsujiban.store.protocol import Compacted, Key, Listing, Store, Stored

Json = dict[str, Any]

WATCH_SECONDS = 1800


def representation(request: Request) -> Representation:
    """What form the client wants."""
    return tables.negotiate(
        request.headers.get("accept", "*/*"), request.query_params.get("includeObject", "")
    )


def shown(stored: Stored, target: Target, request: Request, status: int = 200) -> Response:
    """One object, in the form and version that were asked for."""
    value = converted(stored.value, target)
    wanted = representation(request)
    if wanted.plain:
        return json_response(value, status)
    document = msgspec.json.decode(value)
    if wanted.metadata:
        return json_response(tables.partial(document, wanted.version), status)
    metadata = {"resourceVersion": str(stored.revision)}
    return json_response(tables.table(target.kind, [document], metadata, wanted), status)


async def get(store: Store, target: Target, request: Request) -> Response:
    """GET of one object."""
    return shown(await store.get(target.key), target, request)


async def listed(store: Store, target: Target, request: Request) -> Response:
    """GET of a collection."""
    parameters = request.query_params
    predicate = query.predicate(parameters, target.kind)
    wanted = representation(request)
    listing = await _page(store, target, parameters)
    items: Sequence[Stored] = listing.items
    documents: list[Json] | None = None
    if predicate is not None or not wanted.plain:
        documents = [msgspec.json.decode(item.value) for item in items]
    if predicate is not None and documents is not None:
        chosen = [predicate(document) for document in documents]
        items = [item for item, keep in zip(items, chosen, strict=True) if keep]
        documents = [document for document, keep in zip(documents, chosen, strict=True) if keep]
    metadata = {"resourceVersion": str(listing.revision)}
    if listing.more:
        metadata["continue"] = query.token(listing.revision, listing.items[-1].key)
    if wanted.plain or documents is None:
        values = [converted(item.value, target) for item in items]
        return await compressed(json_response(_list(target, values, metadata)), request)
    documents = [versions.shown(document, target.api_version) for document in documents]
    if wanted.metadata:
        head = {"kind": "PartialObjectMetadataList", "apiVersion": f"meta.k8s.io/{wanted.version}"}
        partial = [tables.partial(document, wanted.version) for document in documents]
        return await compressed(json_response({**head, "metadata": metadata, "items": partial}), request)
    return await compressed(json_response(tables.table(target.kind, documents, metadata, wanted)), request)


async def watch(store: Store, target: Target, request: Request) -> Response:
    """GET of a collection with `watch`."""
    parameters = request.query_params
    loop = asyncio.get_running_loop()
    seconds = query.number(parameters, "timeoutSeconds") or WATCH_SECONDS
    send_initial = query.initial_events(parameters)
    since = query.since(parameters)
    if send_initial is False and since is None:
        since = await store.revision()
    options = watches.Options(
        target=target,
        predicate=query.predicate(parameters, target.kind),
        representation=representation(request),
        bookmarks=query.flag(parameters, "allowWatchBookmarks"),
        initial_end=bool(send_initial),
        deadline=loop.time() + min(seconds, 2 * WATCH_SECONDS),
    )
    try:
        initial, changes = await watches.start(store, options, None if send_initial else since)
    except Compacted as error:
        return HandedOver(watches.refusal(options, error))
    return HandedOver(watches.lines(options, initial, changes, loop.time))


async def _page(store: Store, target: Target, parameters: QueryParams) -> Listing:
    kind = target.kind
    limit = query.number(parameters, "limit") or 0
    where = query.at(parameters)
    page = query.continuation(parameters)
    revision = where.revision if where.exact else 0
    after = None
    if page is not None and target.namespace not in ("", page.namespace):
        raise gone("the continue token is another namespace's; list again without it")
    if page is not None:
        after, revision = Key(kind.group, kind.plural, page.namespace, page.name), page.revision
    elif where.revision and not where.exact and where.revision > (newest := await store.revision()):
        raise too_new(where.revision, newest)
    try:
        return await store.list(
            kind.group, kind.plural, target.namespace or None, limit=limit, after=after, revision=revision
        )
    except Compacted as error:
        if revision > error.oldest:
            raise too_new(revision, error.oldest) from None
        if after is None:
            raise
        raise expired_page(query.token(0, after)) from None


def _list(target: Target, items: list[bytes], metadata: Json) -> bytes:
    """The list object around stored bytes: nothing is encoded anew."""
    head = {
        "kind": f"{target.kind.kind}List",
        "apiVersion": target.api_version,
        "metadata": metadata,
    }
    return msgspec.json.encode(head)[:-1] + b',"items":[' + b",".join(items) + b"]}"
