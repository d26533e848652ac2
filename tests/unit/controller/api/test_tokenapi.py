from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from tests.support.apibed import ISSUER, ApiBed

from tsujiban.controller.api.tokens import Bound, TokenService
from tsujiban.identity.signingkeys import SigningKeys

pytestmark = pytest.mark.anyio

PATH = "/api/v1/namespaces/default/serviceaccounts/web/token"


@pytest.fixture
async def account(admin: httpx.AsyncClient) -> None:
    body = {"metadata": {"name": "web"}}
    path = "/api/v1/namespaces/default/serviceaccounts"
    assert (await admin.post(path, json=body)).status_code == 201


def request(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}


@pytest.mark.usefixtures("account")
async def test_a_token_lets_its_account_in(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    answer = await admin.post(PATH, json=request(expirationSeconds=600))
    assert answer.status_code == 201
    body = answer.json()
    assert (body["kind"], body["apiVersion"]) == ("TokenRequest", "authentication.k8s.io/v1")
    assert body["status"]["expirationTimestamp"].endswith("Z")
    token = body["status"]["token"]
    await bed.grant("system:serviceaccount:default:web", role="view", namespace="default")
    async with bed.client(None, authorization=f"Bearer {token}") as web:
        assert (await web.get("/api/v1/namespaces/default/pods")).status_code == 200
        assert (await web.get("/api/v1/namespaces/default/secrets")).status_code == 403
        assert (await web.get("/openid/v1/jwks")).json()["keys"][0]["kty"] == "EC"
        config = (await web.get("/.well-known/openid-configuration")).json()
        assert config["issuer"] == ISSUER
        assert config["jwks_uri"] == f"{ISSUER}/openid/v1/jwks"
        await admin.delete("/api/v1/namespaces/default/serviceaccounts/web")
        assert (await web.get("/api/v1/namespaces/default/pods")).status_code == 401
    assert token not in repr(bed.audit)


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"expirationSeconds": 599}, 422),
        ({"expirationSeconds": 2**33}, 422),
        ({"audiences": ["a"] * 17}, 422),
        ({"audiences": "a"}, 400),
        ({"nonsense": 1}, 400),
        ({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "none"}}, 404),
        ({"boundObjectRef": {"kind": "Job", "apiVersion": "v1", "name": "x"}}, 409),
    ],
)
async def test_requests_that_make_no_sense(admin: httpx.AsyncClient, spec: Any, code: int) -> None:
    assert (await admin.post(PATH, json=request(**spec))).status_code == code
    assert (await admin.post(f"{PATH}?dryRun=All", json=request())).status_code == 400
    assert (await admin.get(PATH)).status_code == 405


async def test_who_may_write_accounts_may_not_therefore_get_their_tokens(
    bed: ApiBed, admin: httpx.AsyncClient, account: None
) -> None:
    rule = {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["*"]}
    await bed.grant("ann", rule, namespace="default")
    async with bed.client(bed.user("ann", "staff")) as ann:
        answer = await ann.post(PATH, json=request())
        assert answer.status_code == 403
        assert 'cannot create resource "serviceaccounts/token"' in answer.json()["message"]
    await bed.grant("ann", {**rule, "resources": ["serviceaccounts/token"]}, namespace="default")
    async with bed.client(bed.user("ann", "staff")) as ann:
        assert (await ann.post(PATH, json=request())).status_code == 201


async def test_a_node_asks_for_its_pods(bed: ApiBed, admin: httpx.AsyncClient, account: None) -> None:
    pod = {
        "metadata": {"name": "p"},
        "spec": {
            "nodeName": "n1",
            "serviceAccountName": "web",
            "containers": [{"name": "c", "image": "host"}],
        },
    }
    made = await admin.post("/api/v1/namespaces/default/pods", json=pod)
    uid = made.json()["metadata"]["uid"]
    await bed.caught_up()
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": uid}
    async with bed.client(bed.node("n1")) as node1, bed.client(bed.node("n2")) as node2:
        assert (await node1.post(PATH, json=request(boundObjectRef=reference))).status_code == 201
        assert (await node1.post(PATH, json=request())).status_code == 403
        assert (await node2.post(PATH, json=request(boundObjectRef=reference))).status_code == 403
        other = PATH.replace("web", "default")
        assert (await node1.post(other, json=request(boundObjectRef=reference))).status_code == 403


async def test_reviews(bed: ApiBed, admin: httpx.AsyncClient, account: None) -> None:
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    issued = await bed.service.issue("default", "web", audiences=["vault"])

    async def review(token: str, *audiences: str) -> dict[str, Any]:
        body = {"kind": "TokenReview", "spec": {"token": token, "audiences": list(audiences)}}
        answer = await admin.post(path, json=body)
        assert answer.status_code == 201
        assert token not in answer.text
        found: dict[str, Any] = answer.json()["status"]
        return found

    good = await review(issued.token, "vault", "x")
    assert good["authenticated"] is True
    assert good["audiences"] == ["vault"]
    assert good["user"]["username"] == "system:serviceaccount:default:web"
    assert "system:authenticated" in good["user"]["groups"]
    for bad in (await review(issued.token), await review("garbage"), await review(issued.token, "x")):
        assert "authenticated" not in bad
        assert bad["error"]
    assert (await admin.post(path, json={"spec": {}})).status_code == 400
    async with bed.client(bed.user("eve", "guests")) as eve:
        assert (await eve.post(path, json={"spec": {"token": "x"}})).status_code == 403


async def test_garbage_tokens_cost_little_and_give_nothing(bed: ApiBed) -> None:
    for token in ("a.b.c", "." * 100, "x" * 9000, "é", "eyJhbGciOiJub25lIn0.e30."):
        header = f"Bearer {token}".encode()
        async with bed.client() as stranger:
            answer = await stranger.get("/api/v1/pods", headers={b"authorization": header})
        assert answer.status_code == 401, token
        assert answer.json()["message"] == "Unauthorized"


@pytest.mark.usefixtures("account")
async def test_every_token_that_is_no_longer_good_reads_the_same(
    bed: ApiBed, admin: httpx.AsyncClient
) -> None:
    spec = {"serviceAccountName": "web", "containers": [{"name": "c", "image": "host"}]}
    pods = "/api/v1/namespaces/default/pods"
    pod = (await admin.post(pods, json={"metadata": {"name": "p"}, "spec": spec})).json()
    bound = Bound("Pod", "p", pod["metadata"]["uid"])
    keys = SigningKeys(bed.directory / "token-keys")
    long_ago = TokenService(bed.store, keys, ISSUER, lambda: time.time() - 3600)
    tokens = [
        (await long_ago.issue("default", "web", seconds=600)).token,
        (await bed.service.issue("default", "web", audiences=["vault"])).token,
        (await bed.service.issue("default", "web", bound=bound)).token,
        "e30.e30.e30",
    ]
    assert (await admin.delete(f"{pods}/p?gracePeriodSeconds=0")).status_code == 200
    for token in tokens:
        async with bed.client(None, authorization=f"Bearer {token}") as stranger:
            answer = await stranger.get(pods)
        assert answer.status_code == 401
        found = {name: answer.json()[name] for name in ("kind", "status", "reason", "message", "code")}
        assert found == {
            "kind": "Status",
            "status": "Failure",
            "reason": "Unauthorized",
            "message": "Unauthorized",
            "code": 401,
        }


async def test_a_certificate_does_not_make_a_service_account(bed: ApiBed) -> None:
    async with bed.client(bed.user("system:serviceaccount:default:web", "a")) as forged:
        assert (await forged.get("/version")).status_code == 401
