"""Controllers on one store know each other; the dead go, and what is no address is told to nobody."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tsujiban.controller.roster import (
    GONE_SECONDS,
    GROUP,
    RENEW_SECONDS,
    RESOURCE,
    Roster,
    addresses_of,
)
from tsujiban.resources.registry import KINDS
from tsujiban.store.protocol import Key
from tsujiban.store.sqlite import SqliteStore
from tsujiban.wire.controllers import MAX_KNOWN
from tsujiban.wire.messages import ControllerAddress

pytestmark = pytest.mark.anyio

ONE, TWO, ODD = "1" * 32, "2" * 32, "3" * 32


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def at(identity: str, address: str = "192.0.2.1", port: int = 7443) -> ControllerAddress:
    return ControllerAddress(identity, address, port)


class Bed:
    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.now = 1000.0
        self.told: dict[str, list[tuple[ControllerAddress, ...]]] = {}

    def controller(self, identity: str, *own: ControllerAddress) -> Roster:
        heard = self.told.setdefault(identity, [])
        return Roster(
            self.store, identity, own, heard.append, elsewhere=("10.244.0.0/16",), clock=lambda: self.now
        )

    async def publish(self, identity: str, spec: Any) -> None:
        """As somebody who writes whatever he likes."""
        value = msgspec.json.encode({"metadata": {"name": identity}, "spec": spec})
        await self.store.create(Key(GROUP, RESOURCE, "", identity), value)

    async def published(self) -> set[str]:
        return {item.key.name for item in (await self.store.list(GROUP, RESOURCE)).items}


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    store = await SqliteStore.open(tmp_path / "store.db")
    yield Bed(store)
    await store.close()


async def test_each_hears_of_the_other_and_tells_only_news(bed: Bed) -> None:
    one, two = bed.controller(ONE, at(ONE)), bed.controller(TWO, at(TWO, "192.0.2.2"))
    for _ in range(2):
        await one.look()
        await two.look()
    assert bed.told[ONE] == [(at(ONE),), (at(ONE), at(TWO, "192.0.2.2"))]
    assert bed.told[TWO] == [(at(TWO, "192.0.2.2"), at(ONE))]


async def test_one_that_renews_stays_and_one_that_is_dead_goes(bed: Bed) -> None:
    one, two = bed.controller(ONE, at(ONE)), bed.controller(TWO, at(TWO))
    await two.look()
    await one.look()
    for _ in range(20):
        bed.now += RENEW_SECONDS
        await two.look()
        await one.look()
    assert bed.told[ONE][-1] == (at(ONE), at(TWO))
    bed.now += GONE_SECONDS - 1
    await one.look()
    assert bed.told[ONE][-1] == (at(ONE), at(TWO))
    bed.now += 1
    await one.look()
    assert bed.told[ONE][-1] == (at(ONE),)
    assert await bed.published() == {ONE}
    await two.look()  # it was only asleep
    await one.look()
    assert bed.told[ONE][-1] == (at(ONE), at(TWO))


async def test_who_was_asleep_itself_takes_nobody_away(bed: Bed) -> None:
    one, two = bed.controller(ONE, at(ONE)), bed.controller(TWO, at(TWO))
    await two.look()
    await one.look()
    bed.now += 3600
    await two.look()  # while `one` sleeps
    await one.look()
    assert await bed.published() == {ONE, TWO}
    assert len(bed.told[ONE]) == 1


async def test_a_controller_without_an_address_publishes_none_and_hears_of_others(bed: Bed) -> None:
    await bed.controller(TWO, at(TWO)).look()
    await bed.controller(ONE).look()
    assert await bed.published() == {TWO}
    assert bed.told[ONE] == [(at(TWO),)]


@pytest.mark.parametrize(
    "spec",
    [
        None, {}, {"streams": [["10.244.1.1", 7443]]}, {"streams": [["127.0.0.1", 22]]},
        {"streams": [["", 0]]}, {"streams": [["192.0.2.9"]]},
        {"streams": "192.0.2.9"}, {"streams": [["192.0.2.9", 99999]]},
    ],
)  # fmt: skip
async def test_what_is_no_address_of_a_controller_is_told_to_nobody(bed: Bed, spec: Any) -> None:
    await bed.publish(ODD, spec)
    await bed.controller(ONE, at(ONE)).look()
    assert bed.told[ONE] == [(at(ONE),)]


async def test_one_that_publishes_without_measure_does_not_drown_the_own(bed: Bed) -> None:
    await bed.publish("0" * 32, {"streams": [["192.0.2.7", port] for port in range(1, 500)]})
    await bed.controller(ONE, at(ONE)).look()
    assert len(bed.told[ONE][0]) == MAX_KNOWN
    assert bed.told[ONE][0][0] == at(ONE)


def test_addresses_come_from_the_configuration_or_the_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert addresses_of(ONE, (), listener) == ()  # nobody else reaches that
        found = addresses_of(ONE, ("192.0.2.1:7443", "[2001:db8::1]:7444"), listener)
        assert found == (at(ONE), at(ONE, "2001:db8::1", 7444))
        for wrong in ("192.0.2.1", "192.0.2.1:", "host:7443", "0.0.0.0:7443", "192.0.2.1:0", "192.0.2.1:x"):
            with pytest.raises(ValueError, match="node_endpoints"):
                addresses_of(ONE, (wrong,), listener)

    class Bound:
        def getsockname(self) -> tuple[str, int]:
            return "172.31.255.1", 7443

    assert addresses_of(ONE, (), Bound()) == (at(ONE, "172.31.255.1"),)  # type: ignore[arg-type]  # all that is asked


def test_no_path_of_the_api_leads_there() -> None:
    assert GROUP not in {kind.group for kind in KINDS}
