"""A set is applied whole or not at all."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from tests.support.apibed import ApiBed

pytestmark = pytest.mark.anyio

CALICO = "projectcalico.org/v3"


def namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def config(name: str, space: str | None = None, **data: str) -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": space} if space else {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def policy(name: str, tier: str = "default", **spec: Any) -> dict[str, Any]:
    head = {"name": name, "namespace": "default"}
    return {"apiVersion": CALICO, "kind": "NetworkPolicy", "metadata": head, "spec": {"tier": tier, **spec}}


def tier(name: str) -> dict[str, Any]:
    return {"apiVersion": CALICO, "kind": "Tier", "metadata": {"name": name}, "spec": {"order": 1}}


async def apply(admin: httpx.AsyncClient, *objects: Any, **options: Any) -> httpx.Response:
    return await admin.post("/tsujiban/v1/apply", json={"objects": list(objects), **options})


def actions(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [result["action"] for result in answer.json()["results"]]


async def test_created_configured_unchanged(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    first = await apply(admin, namespace("bank"), config("a", "bank", k="1"), config("b", "bank"))
    assert actions(first) == ["created"] * 3
    assert first.json()["revision"] == await bed.store.revision()
    again = await apply(admin, namespace("bank"), config("a", "bank", k="1"), config("b", "bank"))
    assert actions(again) == ["unchanged"] * 3
    assert await bed.store.revision() == first.json()["revision"]
    third = await apply(admin, config("a", "bank", k="2"), config("c", "bank"))
    assert actions(third) == ["configured", "created"]
    assert third.json()["results"][0]["generation"] == 2


async def test_the_namespace_is_default_where_none_is_given(admin: httpx.AsyncClient) -> None:
    assert (await apply(admin, config("a"))).json()["results"][0]["namespace"] == "default"


async def test_one_error_refuses_all_and_all_errors_are_told(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    before = await bed.store.revision()
    answer = await apply(
        admin,
        config("good"),
        config("Bad Name"),
        policy("nowhere.p", tier="nowhere"),
        policy("default.q", selector="a =="),
        config("x") | {"nonsense": 1},
        {"apiVersion": "v1", "kind": "Nope", "metadata": {"name": "x"}},
        "text",
    )
    assert answer.status_code == 422
    assert await bed.store.revision() == before
    findings = answer.json()["details"]["findings"]
    codes = {finding["code"] for finding in findings}
    assert {"unknown-field", "unknown-kind", "not-an-object"} <= codes
    assert any(finding.get("field") == "spec.selector" for finding in findings)
    assert any("name" in finding.get("field", "") for finding in findings)


async def test_a_missing_tier_and_a_missing_namespace(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    before = await bed.store.revision()
    refused = await apply(admin, policy("security.p", tier="security"))
    assert refused.json()["details"]["findings"][0]["field"] == "spec.tier"
    refused = await apply(admin, config("a", "nowhere"))
    assert refused.json()["details"]["findings"][0]["field"] == "metadata.namespace"
    assert await bed.store.revision() == before
    assert (
        actions(await apply(admin, policy("security.p", tier="security"), tier("security")))
        == ["created"] * 2
    )
    assert actions(await apply(admin, policy("security.q", tier="security"))) == ["created"]


async def test_a_finding_names_file_and_line_of_the_users_manifest(admin: httpx.AsyncClient) -> None:
    written = policy("security.p", tier="security")
    origin = {"file": "policy.yaml", "lines": {"": 3, "spec": 7}}
    written["metadata"]["annotations"] = {"tsujiban.io/origin": json.dumps(origin)}
    finding = (await apply(admin, written)).json()["details"]["findings"][0]
    assert (finding["file"], finding["line"]) == ("policy.yaml", 7)


async def test_doubles_are_refused(admin: httpx.AsyncClient) -> None:
    refused = await apply(admin, config("a"), config("a", k="v"))
    assert refused.json()["details"]["findings"][0]["code"] == "duplicate-object"


async def test_dry_run(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    await apply(admin, config("a", k="1"), config("b"))
    before = await bed.store.revision()
    answer = await apply(admin, config("a", k="2"), config("b"), config("c"), dryRun=True)
    assert actions(answer) == ["configured", "unchanged", "created"]
    assert await bed.store.revision() == before


async def test_status_and_foreign_fields_stay_and_dropped_fields_go(admin: httpx.AsyncClient) -> None:
    await apply(admin, config("a", k="1", gone="x"))
    path = "/api/v1/namespaces/default/configmaps/a"
    headers = {"content-type": "application/merge-patch+json"}
    await admin.patch(path, json={"data": {"foreign": "y"}}, headers=headers)
    await apply(admin, config("a", k="2"))
    assert (await admin.get(path)).json()["data"] == {"k": "2", "foreign": "y"}
    account = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bank"}}
    await apply(admin, account)
    bank = "/api/v1/namespaces/bank"
    told = await admin.patch(f"{bank}/status", json={"status": {"phase": "Active"}}, headers=headers)
    assert told.status_code == 200
    assert actions(await apply(admin, account | {"status": {"phase": "Terminating"}})) == ["unchanged"]
    assert (await admin.get(bank)).json()["status"] == {"phase": "Active"}


async def test_concurrent_applies_all_succeed(admin: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(apply(admin, config("a", k=str(n)), config(f"own-{n}")) for n in range(5))
    )
    assert [answer.status_code for answer in answers] == [200] * 5


@pytest.mark.parametrize(
    "body", [{}, [], {"objects": {}}, {"objects": [], "nonsense": 1}, {"objects": [], "dryRun": 1}]
)
async def test_bad_bodies(admin: httpx.AsyncClient, body: Any) -> None:
    answer = await admin.post("/tsujiban/v1/apply", json=body)
    assert (answer.status_code, answer.json()["kind"]) == (400, "Status")


async def test_too_many_objects_and_too_many_bytes(admin: httpx.AsyncClient) -> None:
    assert (await apply(admin, *[1] * 10_001)).status_code == 400
    assert (await apply(admin, "x" * 8_000_001)).status_code == 413


async def test_an_empty_set_is_applied(admin: httpx.AsyncClient) -> None:
    assert actions(await apply(admin)) == []


async def test_a_pod_comes_with_its_account_or_after_it(admin: httpx.AsyncClient) -> None:
    head = {"name": "web", "namespace": "default"}
    spec = {"serviceAccountName": "web", "containers": [{"name": "c", "image": "host"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": head, "spec": spec}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": head}
    refused = await apply(admin, pod)
    assert refused.status_code == 422
    (finding,) = refused.json()["details"]["findings"]
    assert (finding["field"], finding["code"]) == ("spec.serviceAccountName", "missing-object")
    assert actions(await apply(admin, pod, account)) == ["created"] * 2
    assert (await admin.delete("/api/v1/namespaces/default/serviceaccounts/web")).status_code == 200
    assert actions(await apply(admin, pod)) == ["unchanged"]  # it is there already


async def test_who_may_not_write_learns_nothing(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    """Everybody may ask for an apply. It was judged beside what is stored before anybody asked for rights,
    and told of namespaces, accounts and keys of Secrets in places that one may not look at."""
    made = await admin.post(
        "/api/v1/namespaces/default/secrets",
        json={"metadata": {"name": "s"}, "data": {"tls.crt": "eA==", "tls.key": "eA=="}},
    )
    assert made.status_code == 201
    told = set()
    async with bed.client(bed.user("eve", "staff")) as eve:
        for head, rest in (
            ({"name": "s", "namespace": "default"}, {"kind": "Secret", "type": "kubernetes.io/tls"}),
            (
                {"name": "t", "namespace": "default"},
                {"kind": "Secret", "type": "kubernetes.io/tls", "data": DATA},
            ),
            ({"name": "t", "namespace": "nowhere"}, {"kind": "Secret", "data": DATA}),
            ({"name": "p", "namespace": "default"}, {"kind": "Pod", "spec": SPEC}),
        ):
            body = {"objects": [{"apiVersion": "v1", "metadata": head, **rest}], "dryRun": True}
            answer = await eve.post("/tsujiban/v1/apply", json=body)
            assert answer.status_code == 403, answer.text
            told.add(answer.json()["message"].partition("cannot ")[2].split()[0])
    assert told == {"create"}


DATA = {"tls.crt": "eA==", "tls.key": "eA=="}
SPEC = {"serviceAccountName": "none", "containers": [{"name": "c", "image": "host"}]}
