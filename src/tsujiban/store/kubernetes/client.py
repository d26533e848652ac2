"""Requests to a Kubernetes API server, and what its answers mean to a store.

Source: Kubernetes API concepts (resource URIs, Status, "Retrieving large results sets in chunks",
"Efficient detection of changes", dry run).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec

from tsujiban.resources.registry import KINDS, Kind
from tsujiban.store.protocol import (
    AlreadyExists,
    Compacted,
    Conflict,
    InvalidValue,
    Key,
    NotFound,
    Stored,
    StoreUnavailable,
)

Json = dict[str, Any]

WATCH_SECONDS = 300  # how long a watch is asked for; it is begun anew where it ended
READ_SECONDS = 90.0  # a watch in which nothing comes for so long, not even a bookmark, is begun anew
_KINDS = {(kind.group, kind.plural): kind for kind in KINDS}


class Refused(Exception):
    """The server answered with an error: its HTTP code and its Status."""

    def __init__(self, code: int, status: Json) -> None:
        super().__init__(str(status.get("message") or f"HTTP {code}"))
        self.code = code
        self.reason = str(status.get("reason") or "")


class KubernetesClient:
    """One server. `http` has its address, proves who we are and checks who it is."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def ask(
        self, method: str, path: str, body: Json | None = None, query: Mapping[str, str] | None = None
    ) -> bytes:
        """The body of the answer. Raises Refused, StoreUnavailable."""
        try:
            answer = await self._http.request(method, path, json=body, params=query)
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"the API server does not answer: {_text(error)}") from error
        if answer.status_code >= 400:
            raise Refused(answer.status_code, _status(answer.content))
        return answer.content

    async def close(self) -> None:
        """End all connections."""
        await self._http.aclose()

    @asynccontextmanager
    async def watch(self, path: str, after: int) -> AsyncIterator[AsyncIterator[str]]:
        """The lines of a watch. Raises Refused, StoreUnavailable."""
        query = {
            "watch": "true",
            "resourceVersion": str(after),
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        patience = httpx.Timeout(10.0, read=READ_SECONDS)
        try:
            async with self._http.stream("GET", path, params=query, timeout=patience) as answer:
                if answer.status_code >= 400:
                    raise Refused(answer.status_code, _status(await answer.aread()))
                yield answer.aiter_lines()
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"the watch was lost: {_text(error)}") from error


def kind_of(group: str, resource: str) -> Kind:
    """Raises InvalidValue for a kind that is not known here."""
    try:
        return _KINDS[group, resource]
    except KeyError:
        raise InvalidValue(f"{resource}.{group} is no kind that is known here") from None


def collection(kind: Kind, namespace: str | None) -> str:
    """Path of the objects of a kind."""
    root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}"
    scope = f"/namespaces/{namespace}" if kind.namespaced and namespace else ""
    return f"{root}{scope}/{kind.plural}"


def item(key: Key) -> str:
    """Path of an object."""
    if any("/" in part or part in (".", "..") for part in (key.namespace, key.name)) or not key.name:
        raise InvalidValue(f"{key} cannot be part of a path")
    return f"{collection(kind_of(key.group, key.resource), key.namespace)}/{key.name}"


def stored(key: Key, value: bytes) -> Stored:
    """An object as the server gave it."""
    return Stored(key, value, revision_of(msgspec.json.decode(value)))


def revision_of(document: Json) -> int:
    """`metadata.resourceVersion` as a number, which it is on every server with etcd behind it."""
    try:
        return int(document["metadata"]["resourceVersion"])
    except (KeyError, TypeError, ValueError):
        raise StoreUnavailable("the API server sends an object without a numeric resourceVersion") from None


def explained(error: Refused, key: Key, expected: int | str = 0) -> Exception:
    """What a refusal is to the users of a store."""
    if error.code == 404:
        return NotFound(key)
    if error.reason == "AlreadyExists":
        return AlreadyExists(key)
    if error.code == 409:
        return Conflict(key, expected, str(error))
    if error.code == 410:
        return Compacted(int(expected or 0), 0)
    if error.code in (400, 413, 415, 422):
        return InvalidValue(str(error))
    return StoreUnavailable(f"the API server refuses: {error} (HTTP {error.code})")


def _status(body: bytes) -> Json:
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
