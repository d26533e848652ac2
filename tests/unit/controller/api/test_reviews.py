from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.support.apibed import ApiBed

pytestmark = pytest.mark.anyio

AUTHORIZATION = "/apis/authorization.k8s.io/v1"
LIST_PODS = {"verb": "list", "resource": "pods", "namespace": "default"}


async def allowed(client: httpx.AsyncClient, kind: str, **spec: Any) -> bool:
    answer = await client.post(f"{AUTHORIZATION}/{kind}", json={"spec": spec})
    assert answer.status_code == 201, answer.text
    assert answer.json()["spec"] == spec
    found: bool = answer.json()["status"]["allowed"]
    return found


async def test_what_may_i_do(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    await bed.grant("ann", role="view", namespace="default")
    async with bed.client(bed.user("ann", "staff")) as ann:
        own = "selfsubjectaccessreviews"
        assert await allowed(ann, own, resourceAttributes=LIST_PODS)
        assert not await allowed(ann, own, resourceAttributes={**LIST_PODS, "resource": "secrets"})
        assert not await allowed(ann, own, resourceAttributes={**LIST_PODS, "namespace": "kube-system"})
        assert await allowed(ann, own, nonResourceAttributes={"verb": "get", "path": "/version"})
        assert not await allowed(
            ann, own, nonResourceAttributes={"verb": "get", "path": "/tsujiban/v1/flows"}
        )
        rules = await ann.post(
            f"{AUTHORIZATION}/selfsubjectrulesreviews", json={"spec": {"namespace": "default"}}
        )
        status = rules.json()["status"]
        assert status["incomplete"] is False
        assert any("pods" in rule["resources"] for rule in status["resourceRules"])
        assert any("/version" in rule["nonResourceURLs"] for rule in status["nonResourceRules"])
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        who = await ann.post(path, json={"kind": "SelfSubjectReview"})
        assert who.json()["status"]["userInfo"] == {
            "username": "ann",
            "groups": ["staff", "system:authenticated"],
        }
        answer = await ann.post(f"{AUTHORIZATION}/subjectaccessreviews", json={"spec": {"user": "x"}})
        assert answer.status_code == 403


async def test_what_may_others_do(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    await bed.grant("ann", role="view", namespace="default")
    kind = "subjectaccessreviews"
    assert await allowed(admin, kind, resourceAttributes=LIST_PODS, user="ann")
    assert not await allowed(admin, kind, resourceAttributes=LIST_PODS, user="bob")
    assert not await allowed(admin, kind, resourceAttributes=LIST_PODS, groups=["ann"])
    assert await allowed(admin, kind, resourceAttributes=LIST_PODS, groups=["system:masters"])
    local = f"namespaces/default/local{kind}"
    assert await allowed(admin, local, resourceAttributes=LIST_PODS, user="ann")
    spec = {"resourceAttributes": {**LIST_PODS, "namespace": "other"}, "user": "ann"}
    assert (await admin.post(f"{AUTHORIZATION}/{local}", json={"spec": spec})).status_code == 422


async def test_a_node_is_judged_by_the_field_selector(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    everywhere = {"verb": "list", "resource": "pods"}
    for selector, expected in (
        ({"rawSelector": "spec.nodeName=n1"}, True),
        ({"rawSelector": "spec.nodeName=n2"}, False),
        ({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]}, True),
        ({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1", "n2"]}]}, False),
    ):
        spec: dict[str, Any] = {
            "resourceAttributes": {**everywhere, "fieldSelector": selector},
            "user": "system:node:n1",
            "groups": ["system:nodes"],
        }
        assert await allowed(admin, "subjectaccessreviews", **spec) is expected


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({}, 422),
        ({"resourceAttributes": LIST_PODS, "nonResourceAttributes": {"path": "/"}}, 422),
        ({"resourceAttributes": []}, 400),
        ({"nonsense": 1}, 400),
    ],
)
async def test_questions_that_make_no_sense(admin: httpx.AsyncClient, spec: Any, code: int) -> None:
    answer = await admin.post(f"{AUTHORIZATION}/selfsubjectaccessreviews", json={"spec": spec})
    assert answer.status_code == code
    body = {"kind": "Pod", "spec": spec}
    answer = await admin.post(f"{AUTHORIZATION}/selfsubjectaccessreviews", json=body)
    assert answer.status_code == 400
    answer = await admin.post(f"{AUTHORIZATION}/subjectaccessreviews", json={"spec": spec})
    assert answer.status_code in (400, 422)


async def test_rules_need_a_namespace(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    path = f"{AUTHORIZATION}/selfsubjectrulesreviews"
    assert (await admin.post(path, json={"spec": {}})).status_code == 400
    status = (await admin.post(path, json={"spec": {"namespace": "default"}})).json()["status"]
    assert status["resourceRules"][0] == {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    async with bed.client(bed.node("n1")) as node:
        answer = await node.post(path, json={"spec": {"namespace": "default"}})
        assert answer.json()["status"]["incomplete"] is True
