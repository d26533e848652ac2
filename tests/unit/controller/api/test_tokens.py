"""Tokens and their ends; each refusal is a story of somebody who tries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tsujiban.controller.api.tokens import Bound, TokenNotIssued, TokenService
from tsujiban.controller.api.users import TokenRefused
from tsujiban.identity import jwt
from tsujiban.identity.signingkeys import MAX_TOKEN_LIFETIME, SigningKeys
from tsujiban.store.protocol import Key, NotFound
from tsujiban.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio

ISSUER = "https://issuer"
ACCOUNT = Key("", "serviceaccounts", "n", "web")
POD = Key("", "pods", "n", "p")
NODE = Key("", "nodes", "", "n1")


class Bed:
    def __init__(self, store: SqliteStore, keys: SigningKeys) -> None:
        self.store = store
        self.keys = keys
        self.now = 1_800_000_000.0
        self.service = TokenService(store, keys, ISSUER, lambda: self.now)

    async def make(self, key: Key, **fields: Any) -> str:
        body = {"metadata": {"name": key.name, "namespace": key.namespace}, **fields}
        made = await self.store.create(key, msgspec.json.encode(body))
        return str(msgspec.json.decode(made.value)["metadata"]["uid"])

    async def pod(self, key: Key = POD, account: str = "web", node: str = "n1") -> str:
        return await self.make(key, spec={"serviceAccountName": account, "nodeName": node})

    async def refused(self, token: str, why: str, *audiences: str) -> None:
        with pytest.raises(TokenRefused, match=why):
            await self.service.verify(token, audiences)


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    store = await SqliteStore.open(tmp_path / "store.db")
    found = Bed(store, SigningKeys(tmp_path / "keys"))
    await found.make(ACCOUNT)
    yield found
    await store.close()


async def test_a_token_proves_its_account(bed: Bed) -> None:
    uid = await bed.pod()
    node = await bed.make(NODE)
    issued = await bed.service.issue("n", "web", seconds=600, bound=Bound("Pod", "p", uid))
    assert issued.expires == bed.now + 600
    assert issued.token not in repr(issued)
    user = await bed.service.user(issued.token)
    assert user.name == "system:serviceaccount:n:web"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:n")
    assert user.uid
    extra = dict(user.extra)
    assert extra["authentication.kubernetes.io/pod-name"] == ("p",)
    assert extra["authentication.kubernetes.io/pod-uid"] == (uid,)
    assert extra["authentication.kubernetes.io/node-uid"] == (node,)
    claims = jwt.verify(issued.token, bed.keys.public())
    assert claims["kubernetes.io"]["pod"] == {"name": "p", "uid": uid}
    assert claims["sub"] == user.name


async def test_it_expires(bed: Bed) -> None:
    token = (await bed.service.issue("n", "web", seconds=600)).token
    bed.now += 599
    await bed.service.user(token)
    bed.now += 1
    await bed.refused(token, "expired")
    long = await bed.service.issue("n", "web", seconds=1e12)
    assert long.expires == bed.now + MAX_TOKEN_LIFETIME


async def test_it_is_not_used_before_its_time(bed: Bed) -> None:
    token = (await bed.service.issue("n", "web")).token
    bed.now -= 60
    await bed.refused(token, "not valid yet")


async def test_it_is_meant_for_its_audience(bed: Bed) -> None:
    token = (await bed.service.issue("n", "web", audiences=["vault"])).token
    await bed.refused(token, "meant for")
    await bed.refused(token, "meant for", "bank")
    assert (await bed.service.verify(token, ["bank", "vault"])).audiences == ("vault",)
    own = (await bed.service.issue("n", "web")).token
    await bed.refused(own, "meant for", "vault")


async def test_it_ends_with_its_pod(bed: Bed) -> None:
    uid = await bed.pod()
    token = (await bed.service.issue("n", "web", bound=Bound("Pod", "p", uid))).token
    await bed.store.delete(POD)
    await bed.refused(token, "deleted")
    await bed.pod()  # a namesake
    await bed.refused(token, "another one")


async def test_it_ends_with_its_account_and_a_namesake_does_not_revive_it(bed: Bed) -> None:
    token = (await bed.service.issue("n", "web")).token
    await bed.store.delete(ACCOUNT)
    await bed.refused(token, "deleted")
    await bed.make(ACCOUNT)
    await bed.refused(token, "another one")


async def test_it_ends_soon_after_the_deletion_of_its_pod_began(bed: Bed) -> None:
    uid = await bed.pod()
    token = (await bed.service.issue("n", "web", bound=Bound("Pod", "p", uid))).token
    pod = msgspec.json.decode((await bed.store.get(POD)).value)
    pod["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    pod["metadata"]["finalizers"] = ["x/y"]
    await bed.store.update(POD, msgspec.json.encode(pod), None)
    assert bed.now == 1_800_000_000  # 2027-01-15T08:00:00Z
    bed.now += 59
    await bed.service.user(token)
    bed.now += 2
    await bed.refused(token, "being deleted")


async def test_secrets_and_nodes_can_bind_too(bed: Bed) -> None:
    secret = Key("", "secrets", "n", "s")
    for key, kind in ((secret, "Secret"), (NODE, "Node")):
        await bed.make(key)
        token = (await bed.service.issue("n", "web", bound=Bound(kind, key.name))).token
        await bed.service.user(token)
        await bed.store.delete(key)
        await bed.refused(token, "deleted")


async def test_other_issuers_keys_and_claims_are_refused(bed: Bed, tmp_path: Path) -> None:
    good = jwt.verify((await bed.service.issue("n", "web")).token, bed.keys.public())
    key = bed.keys.current()
    for changes, why in (
        ({"iss": "https://other"}, "issuer"),
        ({"sub": "system:serviceaccount:kube-system:web"}, "subject"),
        ({"aud": ISSUER}, "claims"),
        ({"exp": "never"}, "claims"),
        ({"kubernetes.io": {}}, "claims"),
        ({"kubernetes.io": {**good["kubernetes.io"], "namespace": "m"}}, "subject"),
    ):
        await bed.refused(jwt.sign(key.key, key.id, {**good, **changes}), why)
    stranger = SigningKeys(tmp_path / "strange").current()
    await bed.refused(jwt.sign(stranger.key, stranger.id, good), "no key")
    await bed.refused(jwt.sign(stranger.key, key.id, good), "signature")
    await bed.refused("garbage", "three parts")


async def test_nothing_is_issued_for_what_is_not_there(bed: Bed) -> None:
    with pytest.raises(NotFound):
        await bed.service.issue("n", "none")
    with pytest.raises(NotFound):
        await bed.service.issue("n", "web", bound=Bound("Pod", "none"))
    await bed.pod()
    for bound, why in (
        (Bound("Pod", "p", "other-uid"), "does not match"),
        (Bound("ConfigMap", "p"), "cannot bind"),
    ):
        with pytest.raises(TokenNotIssued, match=why):
            await bed.service.issue("n", "web", bound=bound)
    await bed.pod(Key("", "pods", "n", "q"), account="")
    with pytest.raises(TokenNotIssued, match="different serviceaccount"):
        await bed.service.issue("n", "web", bound=Bound("Pod", "q"))


async def test_a_node_gets_tokens_for_its_own_pods_only(bed: Bed) -> None:
    uid = await bed.pod()
    assert await bed.service.issue("n", "web", bound=Bound("Pod", "p", uid), node="n1")
    with pytest.raises(TokenNotIssued, match="different node"):
        await bed.service.issue("n", "web", bound=Bound("Pod", "p", uid), node="n2")
    for bound in (None, Bound("Pod", "p"), Bound("Node", "n1", "x")):
        with pytest.raises(TokenNotIssued, match="not bound to a pod"):
            await bed.service.issue("n", "web", bound=bound, node="n1")
