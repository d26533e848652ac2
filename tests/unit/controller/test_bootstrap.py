"""A new cluster's first objects; a user's changes to them stay."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from tsujiban.controller import bootstrap
from tsujiban.resources.load import decode
from tsujiban.store.protocol import Key
from tsujiban.store.sqlite import SqliteStore


def test_writes_what_is_absent_and_only_that(tmp_path: Path) -> None:
    async def story() -> None:
        store = await SqliteStore.open(tmp_path / "store.db")
        objects = bootstrap.initial_objects("10.244.0.0/16", 26)
        await bootstrap.ensure(store, objects)
        pool = next(ref for ref, _ in objects if ref.resource == "ippools")
        stored = msgspec.json.decode((await store.get(Key(*pool))).value)
        stored["spec"]["natOutgoing"] = True
        await store.update(Key(*pool), msgspec.json.encode(stored), None)
        before = await store.revision()
        await bootstrap.ensure(store, objects)
        assert await store.revision() == before
        await store.close()

    asyncio.run(story())


def test_they_are_valid_objects() -> None:
    for _, obj in bootstrap.initial_objects("10.244.0.0/16", 26):
        assert decode(obj).metadata.name


def test_roles_are_mended_and_kept(tmp_path: Path) -> None:
    async def story() -> None:
        store = await SqliteStore.open(tmp_path / "store.db")
        await bootstrap.ensure_roles(store)
        before = await store.revision()
        await bootstrap.ensure_roles(store)
        assert await store.revision() == before
        key = Key("rbac.authorization.k8s.io", "clusterroles", "", "cluster-admin")
        stored = msgspec.json.decode((await store.get(key)).value)
        await store.update(key, msgspec.json.encode({**stored, "rules": []}), None)
        await bootstrap.ensure_roles(store)
        assert msgspec.json.decode((await store.get(key)).value)["rules"] == stored["rules"]
        await store.close()

    asyncio.run(story())
