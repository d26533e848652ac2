from __future__ import annotations

import httpx
import pytest

from tsujiban.controller.api import aggregated

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
BETA = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        ("", ""),
        ("application/json", ""),
        (f"{V2},{BETA},application/json", "v2"),
        (f"{BETA},application/json", "v2beta1"),
        (f"application/json,{V2}", ""),
        ("application/json;as=APIGroupDiscoveryList;v=v3;g=apidiscovery.k8s.io,application/json", ""),
    ],
)
def test_what_is_wanted(accept: str, version: str) -> None:
    assert aggregated.wanted(accept) == version


@pytest.mark.anyio
async def test_all_groups_in_one_answer(admin: httpx.AsyncClient) -> None:
    answer = await admin.get("/apis", headers={"accept": f"{V2},application/json"})
    assert answer.headers["content-type"] == V2
    groups = {group["metadata"]["name"]: group for group in answer.json()["items"]}
    (apps,) = groups["apps"]["versions"]
    deployments = next(found for found in apps["resources"] if found["resource"] == "deployments")
    assert deployments["scope"] == "Namespaced"
    assert deployments["shortNames"] == ["deploy"]
    scale = next(found for found in deployments["subresources"] if found["subresource"] == "scale")
    assert scale["responseKind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    calico = groups["projectcalico.org"]["versions"]
    assert [version["version"] for version in calico] == ["v3"]
    again = await admin.get("/apis", headers={"accept": V2, "if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.anyio
async def test_the_core_group_is_apart(admin: httpx.AsyncClient) -> None:
    items = (await admin.get("/api", headers={"accept": BETA})).json()["items"]
    assert [group["metadata"]["name"] for group in items] == [""]
    assert (await admin.get("/api")).json()["kind"] == "APIVersions"
    nodes = next(r for r in items[0]["versions"][0]["resources"] if r["resource"] == "nodes")
    assert nodes["scope"] == "Cluster"
