"""Create, update, patch and delete, through the whole server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from tests.support.apibed import ApiBed

from tsujiban.store.protocol import Key

pytestmark = pytest.mark.anyio

MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
POLICIES = "/apis/projectcalico.org/v3/namespaces/default/networkpolicies"


def config(name: str = "a", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **fields}


def deployment(name: str = "web", **metadata: Any) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "host"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, **metadata},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


def policy(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "NetworkPolicy",
        "metadata": {"name": "p"},
        "spec": spec,
    }


async def test_create_fills_in_what_is_the_servers(admin: httpx.AsyncClient) -> None:
    body = deployment(uid="forged", generation=9, creationTimestamp=None) | {"status": {"replicas": 5}}
    answer = await admin.post(DEPLOYMENTS, json=body)
    assert answer.status_code == 201
    made = answer.json()
    assert made["metadata"]["generation"] == 1
    assert made["metadata"]["uid"] != "forged"
    assert made["metadata"]["namespace"] == "default"
    assert "status" not in made
    assert (await admin.get(f"{DEPLOYMENTS}/web")).json() == made


async def test_generate_name(admin: httpx.AsyncClient) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "x-"}}
    names = {(await admin.post(MAPS, json=body)).json()["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("x-") and len(name) == 7 for name in names)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"kind": "Secret"}, 400),
        ({"apiVersion": "v2"}, 400),
        ({"metadata": {"name": "a", "namespace": "other"}}, 400),
        ({"metadata": {"name": "a", "resourceVersion": "1"}}, 400),
        ({"metadata": []}, 400),
        ({"metadata": {}}, 422),
        ({"metadata": {"name": "Not A Name"}}, 422),
        ({"metadata": {"name": 1}}, 422),
        ({"data": {"a": 1}}, 422),
    ],
)
async def test_bad_objects_are_refused(admin: httpx.AsyncClient, change: dict[str, Any], code: int) -> None:
    answer = await admin.post(MAPS, json=config() | change)
    assert answer.status_code == code, answer.text
    assert answer.json()["kind"] == "Status"
    assert (await admin.get(MAPS)).json()["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"a":NaN}',
        b'{"a":1,"a":2}',
        b"{} {}",
        b"[" * 5000,
        b'{"a":' * 5000,
    ],
)
async def test_what_is_not_an_object_is_a_bad_request(admin: httpx.AsyncClient, body: bytes) -> None:
    answer = await admin.post(MAPS, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


async def test_other_content_types_are_refused(admin: httpx.AsyncClient) -> None:
    answer = await admin.post(MAPS, content=b"x", headers={"content-type": "application/cbor"})
    assert (answer.status_code, answer.json()["reason"]) == (415, "UnsupportedMediaType")


async def test_every_cause_is_listed(admin: httpx.AsyncClient) -> None:
    answer = await admin.post(POLICIES, json=policy(selector="a ==", typs=[], order="x"))
    assert answer.status_code == 422
    fields = {cause["field"] for cause in answer.json()["details"]["causes"]}
    assert {"spec.typs", "spec.order"} <= fields


async def test_a_policy_needs_its_tier(admin: httpx.AsyncClient) -> None:
    answer = await admin.post(POLICIES, json=policy(tier="security"))
    assert answer.status_code == 422
    assert "security" in answer.json()["message"]
    tier = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "Tier",
        "metadata": {"name": "security"},
        "spec": {"order": 5},
    }
    assert (await admin.post("/apis/projectcalico.org/v3/tiers", json=tier)).status_code == 201
    named = policy(tier="security") | {"metadata": {"name": "security.p"}}
    assert (await admin.post(POLICIES, json=named)).status_code == 201
    refused = await admin.delete("/apis/projectcalico.org/v3/tiers/security")
    assert (refused.status_code, refused.json()["reason"]) == (409, "Conflict")


async def test_an_object_needs_its_namespace(admin: httpx.AsyncClient) -> None:
    for query in ("", "?dryRun=All"):
        answer = await admin.post(f"/api/v1/namespaces/nowhere/configmaps{query}", json=config())
        assert answer.status_code == 404
        assert "nowhere" in answer.json()["message"]
    assert (await admin.post("/api/v1/configmaps", json=config())).status_code == 400


async def test_create_twice(admin: httpx.AsyncClient) -> None:
    await admin.post(MAPS, json=config())
    answer = await admin.post(MAPS, json=config())
    assert (answer.status_code, answer.json()["reason"]) == (409, "AlreadyExists")


async def test_dry_run_writes_nothing(admin: httpx.AsyncClient) -> None:
    answer = await admin.post(f"{MAPS}?dryRun=All", json=config())
    assert answer.status_code == 201
    assert answer.json()["metadata"]["uid"]
    assert "resourceVersion" not in answer.json()["metadata"]  # by which Flux knows what is new
    assert (await admin.get(f"{MAPS}/a")).status_code == 404
    assert (await admin.post(f"{MAPS}?dryRun=Some", json=config())).status_code == 400
    await admin.post(MAPS, json=config())
    patch = {"data": {"k": "v"}}
    headers = {"content-type": "application/merge-patch+json"}
    changed = await admin.patch(f"{MAPS}/a?dryRun=All", json=patch, headers=headers)
    assert changed.json()["data"] == {"k": "v"}
    assert (await admin.delete(f"{MAPS}/a?dryRun=All")).status_code == 200
    assert "data" not in (await admin.get(f"{MAPS}/a")).json()


async def test_update_with_a_stale_version_conflicts(admin: httpx.AsyncClient) -> None:
    made = (await admin.post(MAPS, json=config(data={"n": "1"}))).json()
    assert (await admin.put(f"{MAPS}/a", json=made | {"data": {"n": "2"}})).status_code == 200
    answer = await admin.put(f"{MAPS}/a", json=made | {"data": {"n": "3"}})
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert (await admin.put(f"{MAPS}/a", json=config(data={"n": "4"}))).status_code == 200
    assert (await admin.put(f"{MAPS}/b", json=config("b"))).status_code == 404
    assert (await admin.put(f"{MAPS}/a", json=config("b"))).status_code == 400
    other = config() | {"metadata": {"name": "a", "uid": "another"}}
    assert (await admin.put(f"{MAPS}/a", json=other)).status_code == 409


async def test_spec_and_status_are_written_apart(admin: httpx.AsyncClient) -> None:
    made = (await admin.post(DEPLOYMENTS, json=deployment())).json()
    spec = made["spec"] | {"replicas": 3}
    answer = await admin.put(f"{DEPLOYMENTS}/web", json=made | {"spec": spec, "status": {"replicas": 9}})
    changed = answer.json()
    assert changed["metadata"]["generation"] == 2
    assert "status" not in changed
    told = changed | {"status": {"replicas": 3}, "spec": made["spec"]}
    answer = await admin.put(f"{DEPLOYMENTS}/web/status", json=told)
    after = answer.json()
    assert after["status"] == {"replicas": 3}
    assert after["spec"]["replicas"] == 3
    assert after["metadata"]["generation"] == 2
    scaled = await admin.put(f"{DEPLOYMENTS}/web", json=deployment())
    assert scaled.json()["status"] == {"replicas": 3}
    assert (await admin.get(f"{DEPLOYMENTS}/web/status")).json()["status"] == {"replicas": 3}
    assert (await admin.get(f"{MAPS}/a/status")).status_code == 404


@pytest.mark.parametrize(
    ("media", "patch"),
    [
        ("application/merge-patch+json", {"spec": {"replicas": 2}}),
        ("application/strategic-merge-patch+json", {"spec": {"replicas": 2}}),
        ("application/json-patch+json", [{"op": "replace", "path": "/spec/replicas", "value": 2}]),
    ],
)
async def test_patches(admin: httpx.AsyncClient, media: str, patch: Any) -> None:
    await admin.post(DEPLOYMENTS, json=deployment())
    answer = await admin.patch(
        f"{DEPLOYMENTS}/web", content=json.dumps(patch), headers={"content-type": media}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["spec"]["replicas"] == 2
    assert answer.json()["spec"]["template"]["spec"]["containers"][0]["image"] == "host"


async def test_a_patch_may_not_make_the_object_invalid_or_another(admin: httpx.AsyncClient) -> None:
    await admin.post(DEPLOYMENTS, json=deployment())
    headers = {"content-type": "application/merge-patch+json"}

    async def code(patch: Any) -> int:
        return (await admin.patch(f"{DEPLOYMENTS}/web", json=patch, headers=headers)).status_code

    assert await code({"spec": {"replicas": -1}}) == 422
    assert await code({"metadata": {"name": "other"}}) == 400
    assert await code({"metadata": {"namespace": "other"}}) == 400
    assert await code({"kind": "Pod"}) == 400
    assert await code({"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 5}}) == 409
    assert await code([]) == 400
    assert (await admin.get(f"{DEPLOYMENTS}/web")).json()["metadata"]["generation"] == 1


async def test_concurrent_patches_are_all_done(admin: httpx.AsyncClient) -> None:
    await admin.post(MAPS, json=config(data={}))
    headers = {"content-type": "application/merge-patch+json"}
    answers = await asyncio.gather(
        *(admin.patch(f"{MAPS}/a", json={"data": {f"k{n}": "v"}}, headers=headers) for n in range(6))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len((await admin.get(f"{MAPS}/a")).json()["data"]) == 6


async def test_delete_with_preconditions(admin: httpx.AsyncClient) -> None:
    made = (await admin.post(MAPS, json=config())).json()

    async def delete(**options: Any) -> httpx.Response:
        return await admin.request("DELETE", f"{MAPS}/a", json=options)

    assert (await delete(preconditions={"uid": "another"})).status_code == 409
    assert (await delete(preconditions={"resourceVersion": "1"})).status_code == 409
    assert (await delete(propagationPolicy="Sideways")).status_code == 422
    assert (await delete(propagationPolicy="Orphan", orphanDependents=True)).status_code == 422
    assert (await delete(gracePeriodSeconds=-1)).status_code == 422
    assert (await delete(preconditions={"uid": made["metadata"]["uid"]})).json()["status"] == "Success"
    assert (await delete()).status_code == 404


async def test_finalizers_hold_a_deletion_back(admin: httpx.AsyncClient) -> None:
    await admin.post(MAPS, json=config() | {"metadata": {"name": "a", "finalizers": ["x.io/y"]}})
    marked = (await admin.delete(f"{MAPS}/a")).json()
    assert marked["metadata"]["deletionTimestamp"]
    assert (await admin.get(f"{MAPS}/a")).status_code == 200
    headers = {"content-type": "application/merge-patch+json"}
    touched = await admin.patch(f"{MAPS}/a", json={"metadata": {"deletionTimestamp": None}}, headers=headers)
    assert touched.json()["metadata"]["deletionTimestamp"] == marked["metadata"]["deletionTimestamp"]
    await admin.patch(f"{MAPS}/a", json={"metadata": {"finalizers": None}}, headers=headers)
    assert (await admin.get(f"{MAPS}/a")).status_code == 404


@pytest.mark.parametrize("finalizer", ["x.io/y", ""])
async def test_what_is_being_deleted_is_judged_as_ever(admin: httpx.AsyncClient, finalizer: str) -> None:
    """Behind a finalizer an object could be made into anything: a Deployment that is none, in the store, of
    which every control loop died at every start; or rights, or a policy, that nobody had judged."""
    body = deployment(finalizers=["x.io/y"])
    await admin.post(DEPLOYMENTS, json=body)
    assert (await admin.delete(f"{DEPLOYMENTS}/web")).json()["metadata"]["deletionTimestamp"]
    held = {**body, "metadata": {"name": "web", "finalizers": [finalizer] if finalizer else []}}
    answer = await admin.put(f"{DEPLOYMENTS}/web", json={**held, "spec": {"replicas": "x", "selector": 7}})
    assert answer.status_code == 422, answer.text
    for metadata in ({"labels": {"a": [1]}}, {"finalizers": 5}, {"finalizers": ["x.io/y", "x.io/more"]}):
        headers = {"content-type": "application/merge-patch+json"}
        answer = await admin.patch(f"{DEPLOYMENTS}/web", json={"metadata": metadata}, headers=headers)
        assert answer.status_code == 422, answer.text
    assert (await admin.put(f"{DEPLOYMENTS}/web", json=held)).status_code == 200
    assert (await admin.get(f"{DEPLOYMENTS}/web")).status_code == (200 if finalizer else 404)


async def test_what_was_stored_by_an_older_version_can_be_let_go(
    bed: ApiBed, admin: httpx.AsyncClient
) -> None:
    body = deployment(
        finalizers=["x.io/y"], namespace="default", deletionTimestamp="2026-01-01T00:00:00Z", uid="u"
    )
    body["spec"]["strategy"] = 5
    await bed.store.create(Key("apps", "deployments", "default", "web"), json.dumps(body).encode())
    headers = {"content-type": "application/merge-patch+json"}
    gone = await admin.patch(f"{DEPLOYMENTS}/web", json={"metadata": {"finalizers": None}}, headers=headers)
    assert gone.status_code == 200, gone.text
    assert (await admin.get(f"{DEPLOYMENTS}/web")).status_code == 404


async def test_delete_of_a_collection(admin: httpx.AsyncClient) -> None:
    for name, label in (("a", "x"), ("b", "y"), ("c", "x")):
        await admin.post(MAPS, json=config() | {"metadata": {"name": name, "labels": {"l": label}}})
    await admin.delete(f"{MAPS}?labelSelector=l%3Dx")
    assert [item["metadata"]["name"] for item in (await admin.get(MAPS)).json()["items"]] == ["b"]


async def test_the_first_namespaces_stay(admin: httpx.AsyncClient) -> None:
    assert (await admin.delete("/api/v1/namespaces/default")).status_code == 403
    assert (await admin.delete("/api/v1/namespaces")).status_code == 403


async def test_stored_forms_of_other_versions_are_one_object(admin: httpx.AsyncClient) -> None:
    tier = {
        "apiVersion": "crd.projectcalico.org/v1",
        "kind": "Tier",
        "metadata": {"name": "t"},
        "spec": {"order": 1},
    }
    made = await admin.post("/apis/crd.projectcalico.org/v1/tiers", json=tier)
    assert made.json()["apiVersion"] == "crd.projectcalico.org/v1"
    shown = (await admin.get("/apis/projectcalico.org/v3/tiers/t")).json()
    assert shown["apiVersion"] == "projectcalico.org/v3"
    assert shown["metadata"]["uid"] == made.json()["metadata"]["uid"]


async def test_null_fields_are_absent(admin: httpx.AsyncClient) -> None:
    body = deployment()
    body["spec"]["template"]["metadata"]["creationTimestamp"] = None
    answer = await admin.post(DEPLOYMENTS, json=body)
    assert answer.status_code == 201, answer.text
    assert "creationTimestamp" not in answer.json()["spec"]["template"]["metadata"]


async def test_nothing_of_a_refused_write_is_there(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    before = await bed.store.revision()
    await admin.post(MAPS, json=config(data=1))
    await admin.post(POLICIES, json=policy(selector="a =="))
    assert await bed.store.revision() == before


async def test_what_nobody_runs_is_stored_with_a_warning(admin: httpx.AsyncClient) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "host"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    claims = {**spec, "volumeClaimTemplates": [{"metadata": {"name": "data"}}]}
    controller = {"selector": {"a": "b"}, "template": template}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    routes = {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}
    for group, plural, asked, told in (
        ("api/v1", "replicationcontrollers", controller, "makes no pods"),
        ("apis/apps/v1", "statefulsets", claims, "spec.volumeClaimTemplates cannot be served"),
        ("apis/apps/v1", "daemonsets", spec, ""),
        ("api/v1", "persistentvolumeclaims", claim, "it stays pending"),
        ("apis/networking.k8s.io/v1", "ingresses", routes, "nothing here routes by it"),
    ):
        path = f"/{group}/namespaces/default/{plural}"
        answer = await admin.post(path, json={"metadata": {"name": "x"}, "spec": asked})
        assert answer.status_code == 201
        warning = answer.headers.get("warning", "")
        assert told in warning if told else not warning
