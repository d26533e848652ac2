"""What the controllers go by stays as it was."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest
from tests.support.apibed import ApiBed

from tsujiban.store.protocol import Key

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


PODS = "/api/v1/namespaces/default/pods"


async def test_a_pod_stays_what_it_is_where_it_is_and_whose_it_is(admin: httpx.AsyncClient) -> None:
    """Who may change a pod, to label it say, and make none, gave it a mightier account: its node
    then got that identity for it."""
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    assert (await admin.post(accounts, json={"metadata": {"name": "boss"}})).status_code == 201
    assert (
        await admin.post(PODS, json={"metadata": {"name": "p"}, "spec": TEMPLATE["spec"]})
    ).status_code == 201
    headers = {"content-type": "application/merge-patch+json"}
    for spec in (
        {"serviceAccountName": "boss"},
        {"nodeName": "n9"},
        {"volumes": [{"name": "s", "secret": {"secretName": "of-others"}}]},
        {"containers": [{"name": "c", "image": "host", "command": ["sh"]}]},
        {"tolerations": [{"operator": "Exists"}], "hostNetwork": True},
    ):
        answer = await admin.patch(f"{PODS}/p", json={"spec": spec}, headers=headers)
        assert answer.status_code == 422, spec
        assert "pod updates may not change fields other than" in answer.json()["message"]
    for change in (
        {"metadata": {"labels": {"a": "b"}}},
        {"spec": {"containers": [{"name": "c", "image": "other"}], "activeDeadlineSeconds": 60}},
        {"spec": {"tolerations": [{"operator": "Exists"}]}},
    ):
        answer = await admin.patch(f"{PODS}/p", json=change, headers=headers)
        assert answer.status_code == 200, answer.text
    fewer = await admin.patch(f"{PODS}/p", json={"spec": {"tolerations": []}}, headers=headers)
    assert fewer.status_code == 422


async def test_a_pod_of_an_older_version_can_be_labelled(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default"},
        "spec": TEMPLATE["spec"],
    }
    await bed.store.create(Key("", "pods", "default", "p"), msgspec.json.encode(pod))
    headers = {"content-type": "application/merge-patch+json"}
    answer = await admin.patch(f"{PODS}/p", json={"metadata": {"labels": {"a": "b"}}}, headers=headers)
    assert answer.status_code == 200, answer.text


async def test_nobody_writes_a_pods_address(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    """A right to `pods/status` in one namespace was one to be anybody: policy knows a pod by the
    addresses that are written there."""
    assert (
        await admin.post(PODS, json={"metadata": {"name": "p"}, "spec": TEMPLATE["spec"]})
    ).status_code == 201
    rule = {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]}
    await bed.grant("eve", rule, namespace="default")
    headers = {"content-type": "application/merge-patch+json"}
    async with bed.client(bed.user("eve", "staff")) as eve:
        lie = {"status": {"podIP": "10.244.0.9", "podIPs": [{"ip": "10.244.0.9"}]}}
        answer = await eve.patch(f"{PODS}/p/status", json=lie, headers=headers)
        assert (answer.status_code, "given by the controller" in answer.json()["message"]) == (403, True)
        answer = await eve.patch(f"{PODS}/p/status", json={"status": {"reason": "x"}}, headers=headers)
        assert answer.status_code == 200
