"""Two controllers on one store: each signs with its own keys, and both believe what either has signed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tsujiban.controller import tokenkeys
from tsujiban.controller.api.tokens import TokenService
from tsujiban.controller.api.users import TokenRefused
from tsujiban.controller.tokenkeys import GROUP, RESOURCE, TokenKeys, identity_in
from tsujiban.identity.files import make_private_directory
from tsujiban.identity.signingkeys import MAX_AGE, PUBLISHED_BEFORE, ROTATION, SigningKeys
from tsujiban.resources.registry import KINDS
from tsujiban.store.protocol import Key
from tsujiban.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Controller:
    def __init__(self, store: SqliteStore, state: Path, clock: Clock) -> None:
        make_private_directory(state)
        self.directory = state / "token-keys"
        self.keys = SigningKeys(self.directory, clock)
        self.shared = TokenKeys(store, self.keys, identity_in(state), clock)
        self.service = TokenService(store, self.keys, "https://issuer", clock, shared=self.shared)

    async def token(self) -> str:
        return (await self.service.issue("n", "web")).token

    def look_again(self) -> None:
        """As when the last look was a while ago."""
        self.shared._looked = -1e9


class Bed:
    def __init__(self, store: SqliteStore, tmp_path: Path) -> None:
        self.store = store
        self.clock = Clock()
        self.paths = {name: tmp_path / name for name in ("one", "two")}
        self.one, self.two = self.start("one"), self.start("two")

    def start(self, name: str) -> Controller:
        return Controller(self.store, self.paths[name], self.clock)

    async def published(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(item.value) for item in (await self.store.list(GROUP, RESOURCE)).items]


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    store = await SqliteStore.open(tmp_path / "store.db")
    body = {"metadata": {"name": "web", "namespace": "n"}}
    await store.create(Key("", "serviceaccounts", "n", "web"), msgspec.json.encode(body))
    yield Bed(store, tmp_path)
    await store.close()


async def test_a_token_of_one_is_good_at_the_other(bed: Bed) -> None:
    await bed.one.shared.publish()
    token = await bed.one.token()
    assert (await bed.two.service.user(token)).name == "system:serviceaccount:n:web"
    assert (await bed.one.service.user(token)).name == "system:serviceaccount:n:web"
    (found,) = await bed.published()
    assert set(found["spec"]) == {"jwk", "made", "controller"}
    assert set(found["spec"]["jwk"]) == {"use", "kty", "kid", "crv", "alg", "x", "y"}  # and no private half
    kids = {key["kid"] for key in (await bed.two.shared.jwks())["keys"]}
    assert kids == {bed.one.keys.current().id, bed.two.keys.current().id}


async def test_what_nobody_has_published_is_refused_and_looked_for_once_in_a_while(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await bed.one.token()
    with pytest.raises(TokenRefused):
        await bed.two.service.user(token)
    monkeypatch.setattr(tokenkeys, "REFRESH_SECONDS", 1e6)
    await bed.one.shared.publish()
    with pytest.raises(TokenRefused):  # it has just looked
        await bed.two.service.user(token)
    bed.two.look_again()
    await bed.two.service.user(token)


async def test_tokens_of_a_new_controller_that_come_together_are_all_good(bed: Bed) -> None:
    """Who comes while the first of them has the keys looked for waits for that."""
    await bed.two.shared.publish()
    tokens = [await bed.two.token() for _ in range(3)]
    bed.one.look_again()
    users = await asyncio.gather(*(bed.one.service.user(token) for token in tokens))
    assert {user.name for user in users} == {"system:serviceaccount:n:web"}


async def test_a_new_key_is_published_before_it_signs(bed: Bed) -> None:
    await bed.one.shared.publish()
    old = bed.one.keys.current().id
    bed.clock.now += ROTATION + 1
    await bed.one.shared.publish()
    assert bed.one.keys.current().id == old
    assert len(await bed.published()) == 2
    bed.clock.now += PUBLISHED_BEFORE + 1
    assert bed.one.keys.current().id != old
    bed.two.look_again()
    await bed.two.service.user(await bed.one.token())


async def test_a_key_that_is_taken_from_its_controller_is_good_nowhere(bed: Bed) -> None:
    await bed.one.shared.publish()
    token = await bed.one.token()
    await bed.two.service.user(token)
    for path in bed.one.directory.iterdir():
        path.unlink()
    again = bed.start("one")
    await again.shared.publish()
    for controller in (again, bed.two):
        await controller.shared.publish()
        with pytest.raises(TokenRefused):
            await controller.service.user(token)


async def test_keys_of_others_are_left_alone_until_no_token_can_be_left(bed: Bed) -> None:
    await bed.one.shared.publish()
    await bed.two.shared.publish()
    assert len(await bed.published()) == 2
    bed.clock.now += MAX_AGE + 1
    gone = bed.one.keys.published()[0][0]["kid"]
    await bed.two.shared.publish()
    assert gone not in {found["spec"]["jwk"]["kid"] for found in await bed.published()}
    assert gone not in {key["kid"] for key in (await bed.two.shared.jwks())["keys"]}


async def test_what_is_no_key_or_calls_itself_by_another_name_is_passed_over(bed: Bed) -> None:
    await bed.one.shared.publish()
    (good,) = await bed.published()
    odd = [
        good,
        {"metadata": {}, "spec": {}},
        {**good, "spec": {**good["spec"], "jwk": {**good["spec"]["jwk"], "x": "AAAA"}}},
        {**good, "spec": {**good["spec"], "jwk": {**good["spec"]["jwk"], "kid": "mine"}}},
        {**good, "spec": {**good["spec"], "jwk": {**good["spec"]["jwk"], "crv": "P-384"}}},
    ]
    for number, document in enumerate(odd):
        key = Key(GROUP, RESOURCE, "", f"odd-{number}")
        await bed.store.create(key, msgspec.json.encode({**document, "metadata": {"name": key.name}}))
    await bed.two.shared.publish()
    kids = {key["kid"] for key in (await bed.two.shared.jwks())["keys"]}
    assert kids == {bed.one.keys.current().id, bed.two.keys.current().id}


async def test_a_controller_keeps_its_name(bed: Bed) -> None:
    first = identity_in(bed.paths["one"])
    assert identity_in(bed.paths["one"]) == first != identity_in(bed.paths["two"])
    assert (bed.paths["one"] / "controller-id").stat().st_mode & 0o777 == 0o600


def test_no_path_of_the_api_leads_there() -> None:
    assert GROUP not in {kind.group for kind in KINDS}
