from __future__ import annotations

from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.anyio

PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


async def test_v2_in_both_forms(admin: httpx.AsyncClient) -> None:
    swagger = (await admin.get("/openapi/v2")).json()
    pod = swagger["definitions"]["io.k8s.api.core.v1.Pod"]
    assert pod["properties"]["spec"]["$ref"] == "#/definitions/io.k8s.api.core.v1.PodSpec"
    answer = await admin.get("/openapi/v2", headers={"accept": PROTOBUF})
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.content.startswith(b"\x0a\x032.0")
    assert b"io.k8s.api.core.v1.PodSpec" in answer.content


async def test_v2_says_which_parameters_a_patch_takes(admin: httpx.AsyncClient) -> None:
    """kubectl up to 1.26 has no dry run, and no diff, of a kind that does not say so here."""
    swagger = (await admin.get("/openapi/v2")).json()
    patched = {
        tuple(item["patch"]["x-kubernetes-group-version-kind"].values()): {
            parameter["name"] for parameter in item["patch"]["parameters"]
        }
        for item in swagger["paths"].values()
        if "patch" in item
    }
    for kind in (
        ("apps", "v1", "Deployment"),
        ("", "v1", "Pod"),
        ("projectcalico.org", "v3", "NetworkPolicy"),
    ):
        assert {"dryRun", "fieldValidation", "body"} <= patched[kind]
    for item in swagger["paths"].values():
        _check(item, {f"#/definitions/{name}": None for name in swagger["definitions"]})


async def test_the_index_leads_to_a_document_for_each_version(admin: httpx.AsyncClient) -> None:
    index = (await admin.get("/openapi/v3")).json()["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/crd.projectcalico.org/v1"} <= index.keys()
    for entry in index.values():
        answer = await admin.get(entry["serverRelativeURL"])
        assert answer.headers["cache-control"] == "public, immutable"
        document = answer.json()
        _check(document, document["components"]["schemas"])


def _check(value: Any, schemas: dict[str, Any]) -> None:
    """Every reference leads somewhere."""
    if isinstance(value, dict):
        if "$ref" in value:
            assert value["$ref"].removeprefix("#/components/schemas/") in schemas
        for part in value.values():
            _check(part, schemas)
    elif isinstance(value, list):
        for part in value:
            _check(part, schemas)


async def test_kubectl_finds_kind_and_parameters_at_the_path(admin: httpx.AsyncClient) -> None:
    paths = (await admin.get("/openapi/v3/apis/apps/v1")).json()["paths"]
    patch = paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    kind = {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert patch["x-kubernetes-group-version-kind"] == kind
    assert {"dryRun", "fieldValidation", "force"} <= {p["name"] for p in patch["parameters"]}
    assert "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/status" in paths
    assert "/apis/apps/v1/deployments" in paths


async def test_a_document_is_sent_once_and_an_old_hash_leads_to_the_new(admin: httpx.AsyncClient) -> None:
    first = await admin.get("/openapi/v3/api/v1")
    again = await admin.get("/openapi/v3/api/v1", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    moved = await admin.get("/openapi/v3/api/v1", params={"hash": "0"})
    assert moved.status_code == 301
    assert first.headers["etag"].strip('"') in moved.headers["location"]
    assert (await admin.get("/openapi/v3/apis/none/v1")).json()["reason"] == "NotFound"


@pytest.mark.parametrize(
    ("version", "path", "takes"),
    [
        ("apps/v1", "namespaces/{namespace}/deployments", True),
        ("projectcalico.org/v3", "globalnetworkpolicies", False),
        ("security.istio.io/v1", "namespaces/{namespace}/authorizationpolicies", False),
    ],
)
async def test_a_strategic_patch_is_offered_where_it_is_taken(
    admin: httpx.AsyncClient, version: str, path: str, takes: bool
) -> None:
    """kubectl since 1.27 sends what it finds here, and has no second thoughts when it is refused."""
    found = (await admin.get(f"/openapi/v3/apis/{version}")).json()["paths"]
    offered = found[f"/apis/{version}/{path}/{{name}}"]["patch"]["requestBody"]["content"]
    assert ("application/strategic-merge-patch+json" in offered) is takes


async def test_every_map_of_a_pod_is_told(admin: httpx.AsyncClient) -> None:
    """kubectl looks each one up when it compares two versions, and warns of those that it does not find."""
    schemas = (await admin.get("/openapi/v3/apis/apps/v1")).json()["components"]["schemas"]
    volume = schemas["io.k8s.api.core.v1.Volume"]["properties"]
    assert volume["configMap"]["allOf"] == [
        {"$ref": "#/components/schemas/io.k8s.api.core.v1.ConfigMapVolumeSource"}
    ]
    container = schemas["io.k8s.api.core.v1.Container"]["properties"]
    assert "allOf" in container["resources"]
    assert "$ref" in container["volumeMounts"]["items"]
