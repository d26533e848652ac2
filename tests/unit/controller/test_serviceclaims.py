"""Nothing that a service has alone is given twice, whoever writes at the same moment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tsujiban.controller.leadership import Elector, FencedStore, LeadershipLost, Timing
from tsujiban.controller.serviceclaims import GROUP, RESOURCE, ServiceClaims, Taken, claims, repair
from tsujiban.store import metadata
from tsujiban.store.protocol import (
    Check,
    Conflict,
    Create,
    Delete,
    InvalidValue,
    Key,
    NotFound,
    Operation,
    Store,
    Stored,
    StoreUnavailable,
    Update,
)
from tsujiban.store.sqlite import SqliteStore
from tsujiban.store.wrapper import StoreWrapper

pytestmark = pytest.mark.anyio

IP = "10.96.0.20"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Store]:
    found = await SqliteStore.open(tmp_path / "state" / "store.db")
    yield found
    await found.close()


@pytest.fixture
def store(bare: Store) -> ServiceClaims:
    return ServiceClaims(bare)


def key(name: str) -> Key:
    return Key("", "services", "default", name)


def claim(name: str = IP) -> Key:
    return Key(GROUP, RESOURCE, "", name)


def service(name: str, *addresses: str, **spec: Any) -> bytes:
    head = {"name": name, "namespace": "default"}
    return json.dumps({"metadata": head, "spec": {"clusterIPs": [*addresses], **spec}}).encode()


async def holder(store: Store, name: str = IP) -> str:
    """Who has a claim; "" when nobody has."""
    try:
        found: str = json.loads((await store.get(claim(name))).value)["spec"]["name"]
    except NotFound:
        return ""
    return found


class Meanwhile(StoreWrapper):
    """Somebody else writes before each of the first transactions, as often as `acts` says."""

    def __init__(self, store: Store, *acts: Sequence[Operation]) -> None:
        super().__init__(store)
        self._acts = list(acts)

    async def transaction(self, operations: Sequence[Operation]) -> tuple[Stored | None, ...]:
        if self._acts:
            await self._store.transaction(self._acts.pop(0))
        return await self._store.transaction(operations)


class Together(StoreWrapper):
    """Nobody writes before two have looked."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._both = asyncio.Barrier(2)
        self._first = True

    async def transaction(self, operations: Sequence[Operation]) -> tuple[Stored | None, ...]:
        if self._both.n_waiting or self._first:
            self._first = False
            await self._both.wait()
        return await self._store.transaction(operations)


def test_what_a_service_has_alone() -> None:
    spec = {
        "clusterIP": "10.96.0.20",
        "clusterIPs": ["10.96.0.20", "FD00:0::1"],
        "externalIPs": ["192.0.2.1"],
        "ports": [{"port": 80, "nodePort": 30080}, {"port": 53}],
        "healthCheckNodePort": 30081,
    }
    assert claims({"spec": spec}) == {
        "10.96.0.20": "spec.clusterIPs",
        "fd00::1": "spec.clusterIPs",
        "192.0.2.1": "spec.externalIPs",
        "port-30080": "spec.ports[0].nodePort",
        "port-30081": "spec.healthCheckNodePort",
    }
    assert claims({"spec": {"clusterIP": "None", "clusterIPs": ["None"]}}) == {}


@pytest.mark.parametrize(
    "spec", [None, [], {"clusterIPs": 7, "ports": ["a"]}, {"clusterIP": 7}, {"clusterIP": "a/b"}]
)
def test_what_is_no_service_has_nothing(spec: object) -> None:
    assert claims({"spec": spec}) == {}


async def test_of_two_writers_that_have_both_looked_one_gets_it(bare: Store) -> None:
    store = ServiceClaims(Together(bare))
    done = await asyncio.gather(
        *(store.create(key(name), service(name, IP)) for name in "ab"), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in done) == ["Stored", "Taken"]
    assert len((await bare.list("", "services")).items) == 1


async def test_an_update_asks_too_and_keeps_what_it_has(store: ServiceClaims) -> None:
    await store.create(key("a"), service("a", IP))
    mine = await store.create(key("b"), service("b"))
    with pytest.raises(Taken, match=r"10\.96\.0\.20.* is that of services default/a"):
        await store.update(key("b"), service("b", IP), mine.revision)
    kept = await store.update(key("a"), service("a", IP, sessionAffinity="None"), None)
    assert await store.update(key("a"), service("a", IP), kept.revision)
    with pytest.raises(Conflict):
        await store.update(key("a"), service("a", IP), 1)
    with pytest.raises(NotFound):
        await store.update(key("c"), service("c", IP), None)


@pytest.mark.parametrize("how", ["deleted", "given up"])
async def test_what_is_let_go_of_is_free_at_once(store: ServiceClaims, how: str) -> None:
    await store.create(key("a"), service("a", IP))
    if how == "deleted":
        await store.delete(key("a"))
    else:
        await store.update(key("a"), service("a"), None)
    await store.create(key("b"), service("b", IP))
    assert await holder(store) == "b"


async def test_who_comes_back_under_the_same_name_has_its_own_again(store: ServiceClaims) -> None:
    for _ in range(2):
        await store.create(key("a"), service("a", IP))
        await store.delete(key("a"))
    await store.create(key("a"), service("a", IP))
    with pytest.raises(Taken):
        await store.create(key("b"), service("b", IP))


async def test_one_transaction_may_hand_over_but_not_share(store: ServiceClaims) -> None:
    shared = [Create(key(name), service(name, IP)) for name in "ab"]
    with pytest.raises(Taken):
        await store.transaction(shared)
    await store.create(key("a"), service("a", IP))
    written = await store.transaction(
        [Update(key("a"), service("a"), None), Check(key("x"), 0), Create(key("b"), service("b", IP))]
    )
    assert [one.key.name if one else "" for one in written] == ["a", "", "b"]
    await store.transaction([Delete(key("b")), Create(key("c"), service("c", IP))])
    assert await holder(store) == "c"


async def test_a_holder_that_takes_it_back_meanwhile_keeps_it(bare: Store) -> None:
    """The claim of `a` is nobody's when `b` looks, and its again when `b` writes."""
    store = ServiceClaims(bare)
    await store.create(key("a"), service("a", IP))
    await store.update(key("a"), service("a"), None)
    back = [Update(key("a"), service("a", IP), None)]
    with pytest.raises(Taken):
        await ServiceClaims(Meanwhile(bare, back)).create(key("b"), service("b", IP))


async def test_an_update_of_whatever_is_there_asks_of_what_is_there(bare: Store) -> None:
    """`a` had the address when the writer looked, and has it no more: it is asked for anew."""
    store = ServiceClaims(bare)
    await store.create(key("a"), service("a", IP))
    meanwhile = [Update(key("a"), service("a"), None), Update(claim(), b'{"metadata":{}}', None)]
    await ServiceClaims(Meanwhile(bare, meanwhile)).update(key("a"), service("a", IP), None)
    assert await holder(store) == "a"


async def test_who_is_always_late_is_told_so(bare: Store) -> None:
    acts: list[list[Operation]] = [[Create(claim(), b'{"metadata":{}}')]]
    for number in range(20):
        acts.append([Update(claim(), json.dumps({"metadata": {}, "n": number}).encode(), None)])
    with pytest.raises(StoreUnavailable, match="without pause"):
        await ServiceClaims(Meanwhile(bare, *acts)).create(key("a"), service("a", IP))


async def test_what_cannot_be_read_is_refused_by_the_store(store: ServiceClaims) -> None:
    with pytest.raises(InvalidValue):
        await store.create(key("a"), b"{")


async def test_a_leader_that_leads_no_more_claims_nothing(bare: Store) -> None:
    store = ServiceClaims(bare)
    first, second = (Elector(store, name, Timing(renew=0.001)) for name in ("one", "two"))
    await first.acquire()
    fenced = FencedStore(store, first)
    await fenced.create(key("a"), service("a", IP))
    with pytest.raises(Taken):
        await fenced.create(key("b"), service("b", IP))
    lease = first._lease
    await first.release()
    await second.acquire()
    first._lease, first._term = lease, 1  # it was paused, and does not know
    with pytest.raises(LeadershipLost):
        await fenced.create(key("c"), service("c", "10.96.0.21"))
    assert await holder(store, "10.96.0.21") == ""


# ---------------------------------------------------------------- repair


async def test_services_from_before_get_their_claims(bare: Store) -> None:
    await bare.create(key("a"), service("a", IP))
    store = ServiceClaims(bare)
    assert await repair(store) == []
    with pytest.raises(Taken):
        await store.create(key("b"), service("b", IP))


async def test_those_that_share_are_told_of_and_the_oldest_has_it(
    bare: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, made in (("a", "2026-01-02T00:00:00Z"), ("b", "2026-01-01T00:00:00Z")):
        clock = SimpleNamespace(gmtime=int, strftime=lambda *_, made=made: made)
        monkeypatch.setattr(metadata, "time", clock)
        await bare.create(key(name), service(name, IP))
    for _ in range(2):
        (shared,) = await repair(ServiceClaims(bare))
        assert (shared.service["metadata"]["name"], shared.claim) == ("a", IP)
        assert await holder(bare) == "b"


async def test_claims_of_nobody_go_and_wrong_ones_are_put_right(bare: Store) -> None:
    store = ServiceClaims(bare)
    await store.create(key("a"), service("a", IP, "10.96.0.21"))
    await store.update(key("a"), service("a", IP), None)
    await store.create(key("b"), service("b", "10.96.0.22"))
    await store.delete(key("b"))
    await bare.create(claim("10.96.0.23"), b'{"metadata":{},"spec":{"name":7}}')
    await bare.update(claim(), b'{"metadata":{},"spec":{"namespace":"default","name":"other"}}', None)
    assert await repair(store) == []
    assert [item.key.name for item in (await bare.list(GROUP, RESOURCE)).items] == [IP]
    assert await holder(bare) == "a"


async def test_a_repair_takes_nothing_from_who_asks_at_that_moment(bare: Store) -> None:
    """The claim was nobody's when the repair looked, and is its service's when it writes."""
    store = ServiceClaims(bare)
    await store.create(key("a"), service("a", IP))
    await store.update(key("a"), service("a"), None)
    back = [Update(key("a"), service("a", IP), None)]
    await repair(Meanwhile(bare, back))
    assert await holder(bare) == "a"
