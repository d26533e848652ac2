from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.authorize import Decision
from tsujiban.controller.api.errors import ApiError, forbidden
from tsujiban.controller.api.guard import GuardedStore, Review, judge
from tsujiban.controller.api.users import User
from tsujiban.store.protocol import Check, Conflict, Create, Delete, Key, NotFound, Store, Update
from tsujiban.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio

ANN = User("ann")
PODS = Attributes(verb="update", resource="pods")
POD = Key("", "pods", "n", "p")
VALUE = b'{"metadata":{"name":"p"},"x":1}'


class Allows:
    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed

    async def decide(self, _user: User, wanted: Attributes) -> Decision:
        return Decision(f"{wanted.verb} {wanted.resource}" in self.allowed)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    found = await SqliteStore.open(tmp_path / "store.db")
    yield found
    await found.close()


def view(
    store: Store, reviews: list[Review], wanted: Attributes = PODS, allows: tuple[str, ...] = ()
) -> GuardedStore:
    async def noted(review: Review) -> dict[str, Any] | None:
        reviews.append(review)
        if review.new and review.new.get("bad"):
            raise forbidden("bad")
        return {**review.new, "seen": True} if review.new else None

    return GuardedStore(store, ANN, wanted, lambda _user, _key: [noted], Allows(*allows))


async def test_every_way_to_write_is_judged(store: Store) -> None:
    reviews: list[Review] = []
    guarded = view(store, reviews)
    made = await guarded.create(POD, VALUE)
    changed = await guarded.update(POD, b'{"metadata":{},"x":2}', made.revision)
    assert msgspec.json.decode(changed.value)["seen"] is True
    await guarded.transaction([Update(POD, b'{"metadata":{},"x":3}', None), Check(POD)])
    await guarded.delete(POD)
    seen = [(r.old and r.old["x"], r.new and r.new["x"]) for r in reviews]
    assert seen == [(None, 1), (1, 2), (2, 3), (3, None)]
    assert all(review.user == ANN for review in reviews)


async def test_what_is_refused_is_not_written(store: Store) -> None:
    guarded = view(store, [])
    with pytest.raises(ApiError):
        await guarded.transaction(
            [Create(Key("", "pods", "n", "q"), VALUE), Create(POD, b'{"metadata":{},"bad":1}')]
        )
    assert await store.revision() == 0


async def test_what_was_judged_is_what_is_replaced(store: Store) -> None:
    """Somebody changes the object between the judgement and the write."""
    made = await store.create(POD, VALUE)

    async def meanwhile(_review: Review) -> None:
        await store.update(POD, b'{"metadata":{},"x":9}', None)

    guarded = GuardedStore(store, ANN, PODS, lambda _user, _key: [meanwhile], Allows())
    with pytest.raises(Conflict):
        await guarded.update(POD, b'{"metadata":{},"x":2}', None)
    assert (await store.get(POD)).revision == made.revision + 1
    with pytest.raises(NotFound):
        await guarded.delete(Key("", "pods", "n", "none"))


async def test_a_request_for_many_kinds_is_authorized_by_object(store: Store) -> None:
    path = Attributes(verb="apply", path="/tsujiban/v1/apply")
    await view(store, [], path, ("create pods",)).create(POD, VALUE)
    for allows in (("create pods",), ("patch secrets",)):
        with pytest.raises(ApiError, match='"ann" cannot patch resource "pods"'):
            await view(store, [], path, allows).update(POD, VALUE, None)
    with pytest.raises(ApiError, match="cannot delete"):
        await view(store, [], path, ("patch pods",)).delete(POD)


async def test_a_patch_that_creates_needs_both_rights(store: Store) -> None:
    patch = Attributes(verb="patch", resource="pods", namespace="n", name="p")
    with pytest.raises(ApiError, match='"ann" cannot create resource "pods"'):
        await view(store, [], patch, ("patch pods",)).create(POD, VALUE)
    await view(store, [], patch, ("create pods",)).create(POD, VALUE)


async def test_a_dry_run_is_judged_too(store: Store) -> None:
    with pytest.raises(ApiError):
        await judge(view(store, []), Create(POD, b'{"metadata":{},"bad":1}'))
    await judge(store, Delete(POD))  # the bare store judges nothing
    assert await store.revision() == 0


async def test_reads_go_through(store: Store) -> None:
    made = await store.create(POD, VALUE)
    guarded = view(store, [])
    assert await guarded.get(POD) == made
    assert (await guarded.list("", "pods")).items == (made,)
    assert await guarded.revision() == made.revision
    watch = await guarded.watch(0)
    assert [event.stored for event in await watch.next()] == [made]
    watch.close()
    with pytest.raises(NotImplementedError):
        await guarded.close()
