"""The engine behind an API server: the suite of all engines, but for transactions, on our own server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.support.apibed import ApiBed, api_bed
from tests.support.storesuite import KIND, ObjectSuite, key, metadata, put, take, value
from tests.support.wait import PATIENCE

from tsujiban.store.kubernetes.client import KubernetesClient
from tsujiban.store.kubernetes.engine import KubernetesStore
from tsujiban.store.protocol import (
    Check,
    Compacted,
    Create,
    InvalidTransaction,
    InvalidValue,
    Key,
    NotFound,
    Operation,
    Store,
)

pytestmark = [pytest.mark.system, pytest.mark.anyio]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def bed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiBed]:
    async with api_bed(tmp_path_factory.mktemp("api") / "bed") as running:
        yield running


@pytest.fixture
async def store(bed: ApiBed) -> AsyncIterator[KubernetesStore]:
    """Without the objects of the test before."""
    for kind in (KIND, ("", "secrets")):
        for item in (await bed.store.list(*kind)).items:
            await bed.store.delete(item.key)
    engine = KubernetesStore(KubernetesClient(bed.client(bed.user())))
    yield engine
    await engine.close()


class TestSuite(ObjectSuite):
    """What an API server can promise."""

    largest = 1_048_000  # of data a server takes 1 MiB in a ConfigMap


async def test_what_a_server_cannot_do_is_refused(store: KubernetesStore) -> None:
    assert not store.features.transactions
    pair: list[Operation] = [Create(key(name), value(key(name))) for name in "ab"]
    check: Operation = Check(key("a"), 0)
    for operations in (pair, [check, pair[0]], [check], []):
        with pytest.raises(InvalidTransaction):
            await store.transaction(operations)
    with pytest.raises(InvalidTransaction):
        await store.watch(0)
    with pytest.raises(Compacted):
        await store.list(*KIND, revision=1)
    with pytest.raises(NotFound):
        await store.get(key("a"))
    (made,) = await store.transaction(pair[:1])
    assert made == await store.get(key("a"))


async def test_a_name_cannot_lead_elsewhere(store: KubernetesStore) -> None:
    for name in ("../secrets/x", "..", "", "a/status"):
        with pytest.raises(InvalidValue):
            await store.get(key(name))
    with pytest.raises(InvalidValue, match="calls itself"):
        await store.create(key("a"), value(key("b")))
    with pytest.raises(InvalidValue, match="no kind"):
        await store.get(Key("nobody", "things", "d", "a"))


async def test_specification_and_status_are_written_both(store: KubernetesStore) -> None:
    at = Key("", "namespaces", "", "team")
    made = await store.create(at, b'{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team"}}')
    changed = (
        b'{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team","labels":{"a":"b"}},'
        b'"status":{"phase":"Terminating"}}'
    )
    result = await store.update(at, changed, made.revision)
    labels = metadata(result.value)["labels"]
    assert isinstance(labels, dict)
    assert labels["a"] == "b"
    assert b'"Terminating"' in result.value
    assert await store.get(at) == result


async def test_a_watch_outlives_its_request_and_goes_on_after_the_last_change(
    bed: ApiBed, store: KubernetesStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsujiban.store.kubernetes.client.WATCH_SECONDS", 1)
    start = (await store.list(*KIND)).revision
    watch = await store.watch(start, *KIND)
    seen: list[str] = []
    async with asyncio.timeout(PATIENCE):
        for number in range(6):
            await put(store, f"n{number}")
            await asyncio.sleep(0.5)  # the server ends a watch after a second
            seen += [event.stored.key.name for event in await watch.next(0.01)]
        while len(seen) < 6:
            seen += [event.stored.key.name for event in await watch.next()]
    assert seen == [f"n{number}" for number in range(6)]
    watch.close()


async def test_a_watch_of_what_was_compacted_says_so(bed: ApiBed, store: KubernetesStore) -> None:
    first = await put(store, "a")
    for number in range(3):
        await put(store, f"n{number}")
    await bed.store.compact(await bed.store.revision())
    with pytest.raises(Compacted):
        await take(store, first, 1, *KIND)


async def test_a_list_in_many_requests_is_one_snapshot(
    store: KubernetesStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsujiban.store.kubernetes.engine.PAGE", 3)
    for number in range(10):
        await put(store, f"n{number}")
    listing = await store.list(*KIND)
    assert [item.key.name for item in listing.items] == [f"n{number}" for number in range(10)]
    assert not listing.more


def fits(store: KubernetesStore) -> Store:
    """The engine is a store, for mypy to judge."""
    return store
