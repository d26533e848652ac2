"""What the controllers go by stays as it was."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.anyio

TEMPLATE = {
    "metadata": {"labels": {"a": "b", "c": "d"}},
    "spec": {"containers": [{"name": "c", "image": "host"}]},
}


@pytest.mark.parametrize("plural", ["daemonsets", "deployments", "replicasets"])
async def test_a_selector_does_not_change(admin: httpx.AsyncClient, plural: str) -> None:
    path = f"/apis/apps/v1/namespaces/default/{plural}"
    spec: dict[str, Any] = {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}
    assert (await admin.post(path, json={"metadata": {"name": "x"}, "spec": spec})).status_code == 201
    patch = {"spec": {"selector": {"matchLabels": {"c": "d"}}}}
    headers = {"content-type": "application/merge-patch+json"}
    answer = await admin.patch(f"{path}/x", json=patch, headers=headers)
    assert answer.status_code == 422
    (cause,) = answer.json()["details"]["causes"]
    assert cause["field"] == "spec.selector"
    assert cause["message"].endswith(": field is immutable")
    answer = await admin.patch(f"{path}/x", json={"spec": {"minReadySeconds": 3}}, headers=headers)
    assert answer.status_code == 200


async def test_of_a_stateful_set_only_some_fields_change(admin: httpx.AsyncClient) -> None:
    path = "/apis/apps/v1/namespaces/default/statefulsets"
    spec: dict[str, Any] = {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}
    assert (await admin.post(path, json={"metadata": {"name": "x"}, "spec": spec})).status_code == 201
    headers = {"content-type": "application/merge-patch+json"}
    answer = await admin.patch(f"{path}/x", json={"spec": {"serviceName": "y"}}, headers=headers)
    assert answer.status_code == 422
    (cause,) = answer.json()["details"]["causes"]
    assert cause["field"] == "spec"
    assert cause["message"].startswith(
        "Forbidden: updates to statefulset spec for fields other than 'replicas',"
    )
    answer = await admin.patch(f"{path}/x", json={"spec": {"replicas": 3}}, headers=headers)
    assert answer.status_code == 200
