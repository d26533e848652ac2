"""An eviction is a deletion that somebody with fewer rights may ask for."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.anyio

PODS = "/api/v1/namespaces/default/pods"
POD = {
    "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "m", "image": "host", "command": ["x"]}]},
}


def eviction(**fields: Any) -> dict[str, Any]:
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}, **fields}


@pytest.fixture
async def pod(admin: httpx.AsyncClient) -> str:
    answer = await admin.post(PODS, json=POD)
    assert answer.status_code == 201
    return str(answer.json()["metadata"]["uid"])


async def test_it_deletes_and_says_so(admin: httpx.AsyncClient, pod: str) -> None:
    path = f"{PODS}/web/eviction"
    stale = await admin.post(path, json=eviction(deleteOptions={"preconditions": {"uid": "another"}}))
    assert stale.status_code == 409
    tried = await admin.post(path, json=eviction(deleteOptions={"dryRun": ["All"]}))
    assert tried.status_code == 201
    assert (await admin.get(f"{PODS}/web")).status_code == 200
    answer = await admin.post(path, json=eviction(deleteOptions={"preconditions": {"uid": pod}}))
    assert answer.status_code == 201
    assert (answer.json()["kind"], answer.json()["status"]) == ("Status", "Success")
    assert (await admin.get(f"{PODS}/web")).status_code == 404
    assert (await admin.post(path, json=eviction())).status_code == 404


@pytest.mark.usefixtures("pod")
@pytest.mark.parametrize(
    "body",
    [
        [],
        eviction(kind="Pod"),
        eviction(apiVersion="policy/v2"),
        eviction(metadata={"name": "other"}),
        eviction(metadata={"name": "web", "namespace": "other"}),
        eviction(metadata=7),
        eviction(deleteOptions=[1]),
    ],
)
async def test_what_is_no_eviction_of_this_pod_is_refused(admin: httpx.AsyncClient, body: Any) -> None:
    assert (await admin.post(f"{PODS}/web/eviction", json=body)).status_code == 400
    assert (await admin.get(f"{PODS}/web")).status_code == 200


async def test_drain_finds_it(admin: httpx.AsyncClient) -> None:
    listed = {one["name"]: one for one in (await admin.get("/api/v1")).json()["resources"]}["pods/eviction"]
    assert (listed["kind"], listed["group"], listed["version"]) == ("Eviction", "policy", "v1")
    assert listed["verbs"] == ["create"]
