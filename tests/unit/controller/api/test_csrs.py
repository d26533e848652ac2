"""Who asks, who decides, and what nobody may change."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest
from tests.support.apibed import ApiBed

from tsujiban.store.protocol import Key

pytestmark = pytest.mark.anyio

PATH = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
MERGE = {"content-type": "application/merge-patch+json"}
CLIENT = "example.com/client"  # nobody signs it, so nothing changes but by these tests
RULE = {"apiGroups": ["certificates.k8s.io"]}
WRITES = {
    **RULE,
    "resources": ["certificatesigningrequests", "certificatesigningrequests/approval"],
    "verbs": ["*"],
}
STATUS = {**RULE, "resources": ["certificatesigningrequests/status"], "verbs": ["*"]}


def signers(verb: str, name: str) -> dict[str, Any]:
    return {**RULE, "resources": ["signers"], "resourceNames": [name], "verbs": [verb]}


def body(name: str = "r", **spec: Any) -> dict[str, Any]:
    pem = base64.b64encode(b"-----BEGIN CERTIFICATE REQUEST-----\n").decode()
    wanted = {"request": pem, "signerName": CLIENT, "usages": ["client auth"], **spec}
    return {"metadata": {"name": name}, "spec": wanted}


def condition(kind: str) -> dict[str, str]:
    return {"type": kind, "status": "True", "reason": "x", "message": "y"}


async def decide(
    client: httpx.AsyncClient, *kinds: str, sub: str = "approval", **status: Any
) -> httpx.Response:
    found = {"conditions": [condition(kind) for kind in kinds], **status}
    return await client.patch(f"{PATH}/r/{sub}", json={"status": found}, headers=MERGE)


async def test_who_asks_is_not_what_the_request_says(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    await bed.grant("ann", WRITES)
    async with bed.client(bed.user("ann", "staff")) as ann:
        lie = body(username="root", groups=["system:masters"], uid="1", extra={"a": ["b"]})
        made = (await ann.post(PATH, json={**lie, "status": {"certificate": "eA=="}})).json()
        assert made["spec"]["username"] == "ann"
        assert made["spec"]["groups"] == ["staff", "system:authenticated"]
        assert not made["spec"].keys() & {"uid", "extra"}
        assert "status" not in made
        changed = await ann.patch(f"{PATH}/r", json={"spec": {"username": "root"}}, headers=MERGE)
        assert changed.status_code == 422


async def test_approval_needs_the_right_for_the_signer(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    """Ann may write requests and approvals, but not for this signer: her own request stays unapproved."""
    await bed.grant("ann", WRITES, STATUS, signers("approve", "other.io/*"))
    await admin.post(PATH, json=body())
    async with bed.client(bed.user("ann", "staff")) as ann:
        answer = await decide(ann, "Approved")
        assert answer.status_code == 403
        assert f'not permitted to approve requests with signerName "{CLIENT}"' in answer.json()["message"]
        assert (await decide(ann, "Approved", sub="status")).status_code == 422
        assert (await decide(ann, certificate="eA==", sub="status")).status_code == 403
    for name in (CLIENT, "example.com/*"):
        user = "bob" if name == CLIENT else "carol"
        await bed.grant(user, WRITES, signers("approve", name))
        async with bed.client(bed.user(user, "staff")) as client:
            answer = await decide(client, "Approved")
            assert answer.status_code == 200
            found = answer.json()["status"]["conditions"][0]
            assert found["lastUpdateTime"]
            assert found["lastTransitionTime"]
        await admin.delete(f"{PATH}/r")
        await admin.post(PATH, json=body())


async def test_a_decision_stands(admin: httpx.AsyncClient) -> None:
    await admin.post(PATH, json=body())
    assert (await decide(admin, "Approved", "Denied")).status_code == 422
    denied = (await decide(admin, "Denied")).json()["status"]["conditions"]
    for kinds in ((), ("Approved",)):
        assert (await decide(admin, *kinds)).status_code == 422
    both = {"status": {"conditions": [*denied, condition("Approved")]}}
    assert (await admin.patch(f"{PATH}/r/approval", json=both, headers=MERGE)).status_code == 422
    assert (await admin.get(f"{PATH}/r/approval")).json()["status"]["conditions"] == denied


async def test_an_approval_brings_no_certificate_and_a_signer_no_approval(admin: httpx.AsyncClient) -> None:
    await admin.post(PATH, json=body())
    assert (await decide(admin, "Approved", certificate="eA==")).status_code == 422
    assert (await decide(admin, "Failed")).status_code == 422
    assert (await decide(admin, "Approved", sub="status")).status_code == 422
    assert (await decide(admin, "Failed", sub="status")).status_code == 200
    await admin.delete(f"{PATH}/r")
    await admin.post(PATH, json=body())
    assert (await decide(admin, certificate="eA==", sub="status")).status_code == 200
    assert (await decide(admin, certificate="eQ==", sub="status")).status_code == 422


async def test_a_signer_of_ones_own(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    await bed.grant("robot", STATUS, signers("sign", "my.io/signer"))
    await admin.post(PATH, json=body(signerName="my.io/signer"))
    async with bed.client(bed.user("robot", "staff")) as robot:
        assert (await decide(robot, certificate="eA==", sub="status")).status_code == 200
        assert (await decide(robot, "Approved")).status_code == 403


@pytest.mark.parametrize("status", ["x", ["x"], {"conditions": "x"}, {"conditions": ["x", None, {}]}])
async def test_what_was_stored_without_being_judged_is_decided_about(
    bed: ApiBed, admin: httpx.AsyncClient, status: Any
) -> None:
    await admin.post(PATH, json=body())
    key = Key("certificates.k8s.io", "certificatesigningrequests", "", "r")
    stored = await bed.store.get(key)
    odd = json.dumps({**json.loads(stored.value), "status": status}).encode()
    await bed.store.update(key, odd, stored.revision)
    decided = await decide(admin, "Approved")
    assert decided.status_code == 200, decided.text
    assert [c["type"] for c in decided.json()["status"]["conditions"]] == ["Approved"]
