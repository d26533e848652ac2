from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest
from tests.support.apibed import ApiBed

from tsujiban.store.protocol import Key

pytestmark = pytest.mark.anyio

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = {"content-type": "application/merge-patch+json"}


async def running_pod(bed: ApiBed, name: str = "p") -> None:
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": "n1", "containers": [{"name": "m", "image": "host", "command": ["true"]}]},
        "status": {"phase": "Running", "podIP": "10.244.0.1"},
    }
    await bed.store.create(Key("", "pods", "default", name), msgspec.json.encode(pod))


async def test_a_running_pod_is_marked_and_stays_until_its_node_has_ended_it(
    bed: ApiBed, admin: httpx.AsyncClient
) -> None:
    await running_pod(bed)
    marked = (await admin.delete(f"{PODS}/p")).json()
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
    labelled = await admin.patch(f"{PODS}/p", json={"metadata": {"labels": {"a": "b"}}}, headers=MERGE)
    assert labelled.json()["metadata"]["deletionTimestamp"] == marked["metadata"]["deletionTimestamp"]
    sooner = (await admin.delete(f"{PODS}/p", params={"gracePeriodSeconds": "1"})).json()
    assert sooner["metadata"]["deletionGracePeriodSeconds"] == 1
    later = (await admin.delete(f"{PODS}/p", params={"gracePeriodSeconds": "60"})).json()
    assert later["metadata"]["deletionGracePeriodSeconds"] == 1


async def test_force_deletes_at_once(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    await running_pod(bed)
    answer = await admin.request("DELETE", f"{PODS}/p", json={"gracePeriodSeconds": 0})
    assert answer.json()["status"] == "Success"
    assert (await admin.get(f"{PODS}/p")).status_code == 404


async def test_a_pod_that_runs_nowhere_has_nothing_to_end(admin: httpx.AsyncClient) -> None:
    pod = {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "m", "image": "host", "command": ["x"]}]},
    }
    assert (await admin.post(PODS, json=pod)).status_code == 201
    assert (await admin.delete(f"{PODS}/p")).json()["status"] == "Success"


@pytest.mark.parametrize(
    ("options", "finalizers"),
    [
        ({"propagationPolicy": "Orphan"}, ["orphan"]),
        ({"propagationPolicy": "Foreground"}, ["foregroundDeletion"]),
        ({"orphanDependents": True}, ["orphan"]),
    ],
)
async def test_the_collector_is_asked_by_a_finalizer(
    admin: httpx.AsyncClient, options: dict[str, Any], finalizers: list[str]
) -> None:
    await admin.post(MAPS, json={"metadata": {"name": "a"}})
    marked = (await admin.request("DELETE", f"{MAPS}/a", json=options)).json()
    assert marked["metadata"]["finalizers"] == finalizers
    changed = await admin.request("DELETE", f"{MAPS}/a", json={"propagationPolicy": "Background"})
    assert changed.json()["status"] == "Success"


async def test_a_collection_is_deleted_as_its_objects_are(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    await running_pod(bed, "one")
    await running_pod(bed, "two")
    answer = await admin.delete(PODS, params={"fieldSelector": "metadata.name=one"})
    assert [item["metadata"]["name"] for item in answer.json()["items"]] == ["one"]
    left = {item["metadata"]["name"]: item["metadata"] for item in (await admin.get(PODS)).json()["items"]}
    assert left["one"]["deletionTimestamp"]
    assert "deletionTimestamp" not in left["two"]


async def test_a_dry_run_marks_nothing(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    await running_pod(bed)
    assert (await admin.request("DELETE", f"{PODS}/p", json={"dryRun": ["All"]})).json()["metadata"][
        "deletionTimestamp"
    ]
    assert "deletionTimestamp" not in (await admin.get(f"{PODS}/p")).json()["metadata"]
    assert (await admin.request("DELETE", f"{PODS}/p", json={"dryRun": ["Some"]})).status_code == 422


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"preconditions":1}', b'{"gracePeriodSeconds":"x"}'])
async def test_bad_options(admin: httpx.AsyncClient, body: bytes) -> None:
    await admin.post(MAPS, json={"metadata": {"name": "a"}})
    headers = {"content-type": "application/json"}
    answer = await admin.request("DELETE", f"{MAPS}/a", content=body, headers=headers)
    assert answer.status_code in (400, 422)
    assert (await admin.get(f"{MAPS}/a")).status_code == 200
