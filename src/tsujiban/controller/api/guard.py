"""The store as one request may use it: every write is judged for the user who asks.

What RBAC cannot say (a role must not hold more than its writer, a node may write only its own) is
checked here, at the one place that all verbs write through, so that no verb can forget it. Reviewers
see the object as it is and as it is to be; the write then fails if somebody else was faster.

A request that is not about one kind (`apply` of a set) was authorized for its path only, so each of
its writes is authorized here by itself. So is the creation that an apply of one object (a patch) may be.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.authorize import Authorizer, Decision, refused
from tsujiban.controller.api.users import User
from tsujiban.store.protocol import Check, Create, Delete, Key, NotFound, Operation, Store, Stored, Update
from tsujiban.store.wrapper import StoreWrapper

Json = dict[str, Any]


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A write to judge. `old` is None for a creation, `new` for a deletion."""

    user: User
    wanted: Attributes  # what the request was authorized for
    key: Key
    old: Json | None
    new: Json | None


# raises ApiError; may give the object that is to be written instead (None: as it is)
Reviewer = Callable[[Review], Awaitable[Json | None]]
Reviewers = Callable[[User, Key], Sequence[Reviewer]]  # who must judge a write of this user there


class GuardedStore(StoreWrapper):
    """A `Store` that judges what is written through it."""

    def __init__(
        self, store: Store, user: User, wanted: Attributes, reviewers: Reviewers, authorizer: Authorizer
    ) -> None:
        super().__init__(store)
        self._authorizer = authorizer
        self._user = user
        self._wanted = wanted
        self._reviewers = reviewers

    async def transaction(self, operations: Sequence[Operation]) -> tuple[Stored | None, ...]:
        """See `Store.transaction`. Raises ApiError too."""
        return await self._store.transaction([await self.judged(operation) for operation in operations])

    async def judged(self, operation: Operation) -> Operation:
        """The operation as it may be done; for a dry run it is only judged. Raises ApiError, NotFound."""
        if isinstance(operation, Check):
            return operation
        if self._wanted.path or (isinstance(operation, Create) and self._wanted.verb == "patch"):
            await self._authorize(operation)
        reviewers = self._reviewers(self._user, operation.key)
        if not reviewers:
            return operation
        stored = None if isinstance(operation, Create) else await self._store.get(operation.key)
        old = None if stored is None else msgspec.json.decode(stored.value)
        new = None if isinstance(operation, Delete) else msgspec.json.decode(operation.value)
        for review in reviewers:
            changed = await review(
                Review(user=self._user, wanted=self._wanted, key=operation.key, old=old, new=new)
            )
            new = new if changed is None else changed
        if isinstance(operation, Create):
            return Create(operation.key, msgspec.json.encode(new), operation.uid)
        if stored is None:
            raise NotFound(operation.key)
        expected = stored.revision if operation.expected is None else operation.expected
        if isinstance(operation, Delete):
            return Delete(operation.key, expected, operation.uid)
        return Update(operation.key, msgspec.json.encode(new), expected)

    async def permit(self, key: Key, *, there: bool) -> None:
        """Raises ApiError (403) unless the user may write it. Who may not even create it learns not whether
        it is there."""
        if there and (await self._decide(key, "patch"))[1].allowed:
            return
        await self._require(key, "create")
        if there:
            await self._require(key, "patch")

    async def _authorize(self, operation: Create | Update | Delete) -> None:
        verb = {Create: "create", Update: "patch", Delete: "delete"}[type(operation)]
        await self._require(operation.key, verb)

    async def _require(self, key: Key, verb: str) -> None:
        wanted, decision = await self._decide(key, verb)
        if not decision.allowed:
            raise refused(self._user, wanted, decision.reason)

    async def _decide(self, key: Key, verb: str) -> tuple[Attributes, Decision]:
        group = key.group if self._wanted.path else self._wanted.group
        wanted = Attributes(
            verb=verb, group=group, resource=key.resource, namespace=key.namespace, name=key.name
        )
        return wanted, await self._authorizer.decide(self._user, wanted)


async def permit(store: Store, key: Key, *, there: bool) -> None:
    """Before anything of what is stored is looked at and told: may the user write it? Raises ApiError."""
    if isinstance(store, GuardedStore):
        await store.permit(key, there=there)


async def judge(store: Store, operation: Operation) -> None:
    """Judge a write that is not made: a dry run is refused where the write would be. Raises ApiError."""
    if isinstance(store, GuardedStore):
        await store.judged(operation)
