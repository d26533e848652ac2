from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tsujiban.controller.api.tokens import TokenService
from tsujiban.controller.api.users import TokenRefused
from tsujiban.controller.podtokens import MAX_SECONDS, PodTokens
from tsujiban.identity.signingkeys import SigningKeys
from tsujiban.store.protocol import Key
from tsujiban.store.sqlite import SqliteStore
from tsujiban.wire.messages import TokenIssued, WantToken

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Bed:
    def __init__(self, store: SqliteStore, service: TokenService) -> None:
        self.store = store
        self.service = service
        self.tokens = PodTokens(store, service)

    async def make(self, plural: str, name: str, **spec: Any) -> str:
        body = {"metadata": {"name": name, "namespace": "n"}, "spec": spec}
        made = await self.store.create(Key("", plural, "n", name), msgspec.json.encode(body))
        return str(msgspec.json.decode(made.value)["metadata"]["uid"])

    async def ask(
        self, node: str, name: str, uid: str, seconds: int = 3600, audience: str = ""
    ) -> TokenIssued:
        want = WantToken(request=7, pod=f"n/{name}", uid=uid, seconds=seconds, audience=audience)
        return await self.tokens.issue(node, want)


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    store = await SqliteStore.open(tmp_path / "store.db")
    found = Bed(store, TokenService(store, SigningKeys(tmp_path / "keys"), "https://issuer"))
    for account in ("default", "web"):
        await found.make("serviceaccounts", account)
    yield found
    await store.close()


async def test_a_node_gets_the_token_of_its_pod(bed: Bed) -> None:
    uid = await bed.make("pods", "p", nodeName="n1", serviceAccountName="web")
    issued = await bed.ask("n1", "p", uid)
    assert (issued.request, issued.error) == (7, "")
    user = await bed.service.user(issued.token)
    assert user.name == "system:serviceaccount:n:web"
    assert issued.token not in repr(issued)
    plain = await bed.make("pods", "q", nodeName="n1")
    user = await bed.service.user((await bed.ask("n1", "q", plain)).token)
    assert user.name == "system:serviceaccount:n:default"


async def test_lifetimes_are_bounded(bed: Bed) -> None:
    uid = await bed.make("pods", "p", nodeName="n1")
    short, long = [await bed.ask("n1", "p", uid, seconds) for seconds in (-5, 10**9)]
    assert 590 < long.expires - short.expires - (MAX_SECONDS - 600) + 600 < 610


async def test_what_is_not_the_nodes_is_refused(bed: Bed) -> None:
    """A stolen node asks for the tokens of pods elsewhere, of namesakes, of nobody, of who wants none."""
    uid = await bed.make("pods", "p", nodeName="n1")
    none = await bed.make("pods", "q", nodeName="n1", automountServiceAccountToken=False)
    gone = await bed.make("pods", "r", nodeName="n1", serviceAccountName="gone")
    for node, name, of in (
        ("n2", "p", uid),
        ("n1", "p", "another-uid"),
        ("n1", "p", ""),
        ("n1", "x", uid),
        ("n1", "q", none),
        ("n1", "r", gone),
        ("n1", "", uid),
    ):
        issued = await bed.ask(node, name, of)
        assert issued.error, (node, name)
        assert not issued.token


def projecting(*audiences: str) -> list[Any]:
    sources = [{"serviceAccountToken": {"path": f"t{name}", "audience": name}} for name in audiences]
    return [{"name": "v", "projected": {"sources": sources}}]


async def test_a_token_for_whom_a_volume_names_and_for_nobody_else(bed: Bed) -> None:
    uid = await bed.make("pods", "p", nodeName="n1", volumes=projecting("vault"))
    issued = await bed.ask("n1", "p", uid, audience="vault")
    assert issued.error == ""
    assert (await bed.service.verify(issued.token, ["vault"])).user.name == "system:serviceaccount:n:default"
    with pytest.raises(TokenRefused):  # it is none for the API
        await bed.service.user(issued.token)
    refused = await bed.ask("n1", "p", uid, audience="bank")
    assert (refused.token, refused.error) == ("", "audience 'bank' not found in pod spec volume")


async def test_who_wants_no_token_gets_those_that_its_volumes_name(bed: Bed) -> None:
    only = await bed.make(
        "pods", "p", nodeName="n1", automountServiceAccountToken=False, volumes=projecting("vault")
    )
    assert (await bed.ask("n1", "p", only, audience="vault")).error == ""
    assert (await bed.ask("n1", "p", only)).error == "the pod is to have no token"
    both = await bed.make(
        "pods", "q", nodeName="n1", automountServiceAccountToken=False, volumes=projecting("vault", "")
    )
    assert (await bed.ask("n1", "q", both)).error == ""
