"""Reading: get, list and watch of a kind, as objects or as a table."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tsujiban.controller.api import query, tables, watches
from tsujiban.controller.api.responses import Lines, json_response
from tsujiban.controller.api.tables import Representation
from tsujiban.controller.api.target import Target
from tsujiban.controller.api.watches import converted
from tsujiban.store.protocol import Key, Listing, Store, Stored

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
    if not wanted.table:
        return json_response(value, status)
    metadata = {"resourceVersion": str(stored.revision)}
    return json_response(tables.table(target.kind, [msgspec.json.decode(value)], metadata, wanted), status)


async def get(store: Store, target: Target, request: Request) -> Response:
    """GET of one object."""
    return shown(await store.get(target.key), target, request)


async def listed(store: Store, target: Target, request: Request) -> Response:
    """GET of a collection."""
    parameters = request.query_params
    predicate = query.predicate(parameters)
    limit = query.number(parameters, "limit") or 0
    page = query.continuation(parameters)
    listing = await _page(store, target, limit, page)
    items = [converted(item.value, target) for item in listing.items]
    documents: list[Json] | None = None
    wanted = representation(request)
    if predicate is not None or wanted.table:
        documents = [msgspec.json.decode(item) for item in items]
    if predicate is not None and documents is not None:
        chosen = [predicate(document) for document in documents]
        items = [item for item, keep in zip(items, chosen, strict=True) if keep]
        documents = [document for document, keep in zip(documents, chosen, strict=True) if keep]
    metadata = {"resourceVersion": str(listing.revision)}
    if listing.more:
        metadata["continue"] = query.token(listing.revision, listing.items[-1].key)
    if wanted.table and documents is not None:
        return json_response(tables.table(target.kind, documents, metadata, wanted))
    return json_response(_list(target, items, metadata))


async def watch(store: Store, target: Target, request: Request) -> Response:
    """GET of a collection with `watch`."""
    parameters = request.query_params
    loop = asyncio.get_running_loop()
    seconds = query.number(parameters, "timeoutSeconds") or WATCH_SECONDS
    send_initial = "sendInitialEvents" in parameters and query.flag(parameters, "sendInitialEvents")
    since = query.since(parameters)
    options = watches.Options(
        target=target,
        predicate=query.predicate(parameters),
        representation=representation(request),
        bookmarks=query.flag(parameters, "allowWatchBookmarks"),
        initial_end=send_initial,
        deadline=loop.time() + min(seconds, 2 * WATCH_SECONDS),
    )
    initial, changes = await watches.start(store, options, None if send_initial else since)
    return Lines(watches.lines(options, initial, changes, loop.time))


async def _page(store: Store, target: Target, limit: int, page: query.Page | None) -> Listing:
    kind = target.kind
    after, revision = None, 0
    if page is not None:
        after, revision = Key(kind.group, kind.plural, page.namespace, page.name), page.revision
    return await store.list(
        kind.group, kind.plural, target.namespace or None, limit=limit, after=after, revision=revision
    )


def _list(target: Target, items: list[bytes], metadata: Json) -> bytes:
    """The list object around stored bytes: nothing is encoded anew."""
    head = {
        "kind": f"{target.kind.kind}List",
        "apiVersion": target.api_version,
        "metadata": metadata,
    }
    return msgspec.json.encode(head)[:-1] + b',"items":[' + b",".join(items) + b"]}"
