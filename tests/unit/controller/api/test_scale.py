from __future__ import annotations

from typing import Any

import httpx
import pytest

from tsujiban.controller.api.scale import scale_of

pytestmark = pytest.mark.anyio

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
SCALE = f"{DEPLOYMENTS}/web/scale"
MERGE = {"content-type": "application/merge-patch+json"}


@pytest.fixture
async def web(admin: httpx.AsyncClient) -> httpx.AsyncClient:
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "m", "image": "host", "command": ["true"]}]},
    }
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    made = await admin.post(DEPLOYMENTS, json={"metadata": {"name": "web"}, "spec": spec})
    assert made.status_code == 201, made.text
    return admin


async def test_a_scale_is_a_window_on_replicas(web: httpx.AsyncClient) -> None:
    scale = (await web.get(SCALE)).json()
    assert (scale["kind"], scale["spec"]) == ("Scale", {"replicas": 2})
    assert scale["status"] == {"replicas": 0, "selector": "app=web"}
    scale["spec"]["replicas"] = 0
    assert (await web.put(SCALE, json=scale)).json()["spec"] == {"replicas": 0}
    assert (await web.put(SCALE, json=scale)).status_code == 409  # its resourceVersion is of before
    patched = await web.patch(SCALE, json={"spec": {"replicas": 5}}, headers=MERGE)
    assert patched.json()["spec"] == {"replicas": 5}
    after = (await web.get(f"{DEPLOYMENTS}/web")).json()
    assert after["spec"]["replicas"] == 5
    assert after["spec"]["template"]["spec"]["containers"]
    managers = {entry.get("subresource", "") for entry in after["metadata"]["managedFields"]}
    assert managers == {"", "scale"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"spec": {"replicas": -1}}, 422),
        ({"spec": {"replicas": "5"}}, 400),
        ({"spec": {"nonsense": 5}}, 400),
        ({"metadata": {"name": "other"}, "spec": {"replicas": 1}}, 400),
        ({"kind": "Deployment", "spec": {"replicas": 1}}, 400),
        ([], 400),
    ],
)
async def test_bad_scales(web: httpx.AsyncClient, body: Any, code: int) -> None:
    assert (await web.put(SCALE, json=body)).status_code == code
    assert (await web.get(SCALE)).json()["spec"] == {"replicas": 2}


async def test_what_has_no_scale(web: httpx.AsyncClient) -> None:
    assert (await web.get("/api/v1/namespaces/default/configmaps/a/scale")).status_code == 404
    assert (await web.get(f"{DEPLOYMENTS}/none/scale")).status_code == 404


def test_selectors_as_autoscalers_read_them() -> None:
    expressions = [
        {"key": "a", "operator": "In", "values": ["x", "y"]},
        {"key": "b", "operator": "DoesNotExist"},
        {"key": "c", "operator": "Exists"},
    ]
    selector = {"matchLabels": {"app": "web"}, "matchExpressions": expressions}
    found = scale_of({"metadata": {}, "spec": {"selector": selector}})
    assert found["status"]["selector"] == "app=web,a in (x,y),!b,c"
    plain = scale_of({"metadata": {}, "spec": {"selector": {"app": "web"}}})
    assert plain["status"]["selector"] == "app=web"
