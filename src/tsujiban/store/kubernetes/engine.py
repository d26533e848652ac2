"""The store behind a Kubernetes API server, for controllers that run beside a cluster of somebody's own.

The server writes one object at a time, so there are no transactions and no `Check`; it tells of one kind at
a time, and of the past only what follows a list's pages. Uid, generation and the rest are its own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import msgspec

from tsujiban.store import metadata
from tsujiban.store.kubernetes import client as api
from tsujiban.store.kubernetes.client import KubernetesClient, Refused
from tsujiban.store.kubernetes.watch import KubernetesWatch
from tsujiban.store.protocol import (
    Check,
    Compacted,
    Conflict,
    Create,
    Delete,
    Features,
    Health,
    InvalidTransaction,
    InvalidValue,
    Key,
    Listing,
    Operation,
    Stored,
    StoreUnavailable,
)

Json = dict[str, Any]

PAGE = 500  # objects asked for at a time
UPDATE_ATTEMPTS = 8  # of an update that takes whatever is there
_PAGES = 256  # lists whose next page is remembered
_Page = tuple[str, int, Key]  # path, revision, last object


class KubernetesStore:
    """A `Store` at the server of `client`. It closes the client."""

    features = Features(transactions=False, past=False)

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client
        self._closed = False
        self._watches: set[KubernetesWatch] = set()
        self._pages: OrderedDict[_Page, str] = OrderedDict()

    # ------------------------------------------------------------ reading

    async def get(self, key: Key) -> Stored:
        """See `Store.get`."""
        return await self._object(key, "GET")

    async def list(
        self,
        group: str,
        resource: str,
        namespace: str | None = None,
        *,
        limit: int = 0,
        after: Key | None = None,
        revision: int = 0,
    ) -> Listing:
        """See `Store.list`; `revision` only with the `after` of a page that was got here before.

        Raises:
            Compacted: of the past, only what follows a page is known.
        """
        self._check_open()
        path = api.collection(api.kind_of(group, resource), namespace)
        token = ""
        if after is not None or revision:
            token = self._pages.get((path, revision, after), "") if after else ""
            if not token:
                raise Compacted(revision, 0)
        items: list[Stored] = []
        while True:
            count = min(PAGE, limit - len(items)) if limit else PAGE
            found, at, token = await self._page(path, (group, resource), count, token, revision)
            items += found
            if not token or (limit and len(items) >= limit):
                break
        if token:
            self._remember((path, at, items[-1].key), token)
        return Listing(tuple(items), at, bool(token))

    async def revision(self) -> int:
        """See `Store.revision`."""
        self._check_open()
        _, at, _ = await self._page("/api/v1/namespaces", ("", "namespaces"), 1, "", 0)
        return at

    async def watch(
        self, after: int, group: str | None = None, resource: str | None = None
    ) -> KubernetesWatch:
        """See `Store.watch`; of one kind only."""
        self._check_open()
        if group is None or resource is None:
            raise InvalidTransaction("an API server tells of one kind at a time: watch each")
        path = api.collection(api.kind_of(group, resource), None)
        watch = KubernetesWatch(self._client, path, (group, resource), after)
        self._watches.add(watch)
        return watch

    # ------------------------------------------------------------ writing

    async def create(self, key: Key, value: bytes, uid: str = "") -> Stored:
        """See `Store.create`. Whose uid is which is the server's to say: `uid` has no effect."""
        document = _addressed(key, value)
        document["metadata"].pop("resourceVersion", None)
        path = api.collection(api.kind_of(key.group, key.resource), key.namespace)
        return await self._object(key, "POST", document, path=path)

    async def update(self, key: Key, value: bytes, expected: int | None) -> Stored:
        """See `Store.update`. The specification and the status are two writes where both change."""
        for attempts_left in reversed(range(UPDATE_ATTEMPTS)):
            current = await self.get(key)
            if expected is not None and current.revision != expected:
                raise Conflict(key, expected, current.revision)
            try:
                return await self._replace(key, _addressed(key, value), current)
            except Conflict:
                if expected is not None or not attempts_left:
                    raise
        raise Conflict(key, "any", "others, without pause")

    async def delete(self, key: Key, expected: int | None = None, uid: str = "") -> Stored:
        """See `Store.delete`. The server does not tell the revision of the deletion: what is returned has one
        after the object's and not after the deletion's. With finalizers it goes when they have gone."""
        current = await self.get(key)
        if expected is not None and current.revision != expected:
            raise Conflict(key, expected, current.revision)
        found = metadata.uid(current.value)
        if uid and uid != found:
            raise Conflict(key, uid, found)
        conditions: Json = {"uid": found}
        if expected is not None:
            conditions["resourceVersion"] = str(expected)
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": conditions}
        await self._ask(key, expected or found, "DELETE", api.item(key), options)
        revision = current.revision + 1
        return Stored(key, metadata.deleted(current.value, revision), revision)

    async def transaction(self, operations: Sequence[Operation]) -> tuple[Stored | None, ...]:
        """See `Store.transaction`: one write, and nothing else."""
        self._check_open()
        if len(operations) != 1 or isinstance(operations[0], Check):
            raise InvalidTransaction("an API server writes one object at a time, and checks no other")
        operation = operations[0]
        if isinstance(operation, Create):
            return (await self.create(operation.key, operation.value),)
        if isinstance(operation, Delete):
            return (await self.delete(operation.key, operation.expected, operation.uid),)
        return (await self.update(operation.key, operation.value, operation.expected),)

    async def compact(self, revision: int) -> None:
        """The server compacts by itself."""
        self._check_open()

    async def health(self) -> tuple[Health, ...]:
        """See `Store.health`."""
        try:
            await self._client.ask("GET", "/readyz")
        except (Refused, StoreUnavailable) as error:
            return (Health(name="API server", healthy=False, detail=str(error)),)
        return (Health(name="API server", healthy=True),)

    async def close(self) -> None:
        """See `Store.close`."""
        if self._closed:
            return
        self._closed = True
        for watch in self._watches:
            watch.close()
        await self._client.close()

    # ------------------------------------------------------------ within

    async def _replace(self, key: Key, wanted: Json, current: Stored) -> Stored:
        present = msgspec.json.decode(current.value)
        wanted["metadata"]["resourceVersion"] = str(current.revision)
        result = await self._object(key, "PUT", wanted, expected=current.revision)
        written = msgspec.json.decode(result.value)
        if "status" not in wanted or wanted["status"] == written.get("status", present.get("status")):
            return result
        wanted["metadata"]["resourceVersion"] = str(result.revision)
        return await self._object(
            key, "PUT", wanted, path=f"{api.item(key)}/status", expected=result.revision
        )

    async def _object(
        self, key: Key, method: str, body: Json | None = None, *, path: str = "", expected: int = 0
    ) -> Stored:
        return api.stored(key, await self._ask(key, expected, method, path or api.item(key), body))

    async def _ask(
        self, key: Key, expected: int | str, method: str, path: str, body: Json | None = None
    ) -> bytes:
        self._check_open()
        try:
            return await self._client.ask(method, path, body)
        except Refused as error:
            raise api.explained(error, key, expected) from error

    async def _page(
        self, path: str, kind: tuple[str, str], count: int, token: str, revision: int
    ) -> tuple[Sequence[Stored], int, str]:
        """Objects, the revision of the whole list, and what leads to the next page."""
        query: dict[str, str] = {"limit": str(count)}
        if token:
            query["continue"] = token
        try:
            raw = await self._client.ask("GET", path, query=query)
        except Refused as error:
            raise api.explained(error, Key(*kind, "", ""), revision) from error
        found = msgspec.json.decode(raw, type=_List)
        head = found.metadata
        return [_stored(kind, value) for value in found.items], int(head.resourceVersion), head.continue_

    def _remember(self, page: _Page, token: str) -> None:
        self._pages[page] = token
        while len(self._pages) > _PAGES:
            self._pages.popitem(last=False)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")


class _ListMeta(msgspec.Struct):
    resourceVersion: str  # the server's name
    continue_: str = msgspec.field(default="", name="continue")


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw]


class _Meta(msgspec.Struct):
    name: str
    resourceVersion: str  # the server's name
    namespace: str = ""


class _Headed(msgspec.Struct):
    metadata: _Meta


def _stored(kind: tuple[str, str], raw: msgspec.Raw) -> Stored:
    value = bytes(raw)
    head = msgspec.json.decode(value, type=_Headed).metadata
    return Stored(Key(*kind, head.namespace, head.name), value, int(head.resourceVersion))


def _addressed(key: Key, value: bytes) -> Json:
    """The object, with the name by which the request calls it."""
    document = metadata.decode(value)
    head = document["metadata"]
    if head.setdefault("name", key.name) != key.name:
        raise InvalidValue(f"the object calls itself {head['name']!r}, not {key.name!r}")
    if key.namespace:
        head["namespace"] = key.namespace
    kind = api.kind_of(key.group, key.resource)
    document.setdefault("apiVersion", kind.api_version)
    document.setdefault("kind", kind.kind)
    return document
