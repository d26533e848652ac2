"""Nobody gives away more than they hold. Each test is an attempt to become an administrator."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.support.apibed import RBAC, ApiBed

pytestmark = pytest.mark.anyio

API = f"/apis/{RBAC}/v1"
EDIT_RIGHTS = {
    "apiGroups": [RBAC],
    "resources": ["*"],
    "verbs": ["create", "update", "patch", "get", "delete"],
}
PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
SECRETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}


def role(rules: list[dict[str, Any]], name: str = "r", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "rules": rules, **more}


def binding(to: str, user: str = "mallory", name: str = "b") -> dict[str, Any]:
    kind, _, role_name = to.partition("/")
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role_name},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
    }


@pytest.fixture
async def mallory(bed: ApiBed) -> Any:
    """May write roles and bindings everywhere, and read pods."""
    await bed.grant("mallory", EDIT_RIGHTS, PODS)
    async with bed.client(bed.user("mallory", "staff")) as client:
        yield client


def refused(answer: httpx.Response, *words: str) -> None:
    assert answer.status_code == 403, answer.text
    message = answer.json()["message"]
    for word in words:
        assert word in message


async def test_binding_oneself_to_cluster_admin(mallory: httpx.AsyncClient) -> None:
    for path in (f"{API}/clusterrolebindings", f"{API}/namespaces/default/rolebindings"):
        answer = await mallory.post(path, json=binding("ClusterRole/cluster-admin"))
        refused(
            answer,
            'user "mallory" (groups=["staff" "system:authenticated"]) is attempting to grant',
            '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}',
        )


async def test_writing_a_role_with_more_than_one_holds(mallory: httpx.AsyncClient) -> None:
    held = await mallory.post(f"{API}/clusterroles", json=role([PODS]))
    assert held.status_code == 201
    refused(await mallory.post(f"{API}/clusterroles", json=role([SECRETS], "s")), '"secrets"')
    refused(await mallory.post(f"{API}/namespaces/default/roles", json=role([SECRETS])), '"secrets"')
    grown = {**held.json(), "rules": [PODS, SECRETS]}
    refused(await mallory.put(f"{API}/clusterroles/r", json=grown), '"secrets"')
    headers = {"content-type": "application/json-patch+json"}
    patch = [{"op": "add", "path": "/rules/-", "value": SECRETS}]
    refused(await mallory.patch(f"{API}/clusterroles/r", json=patch, headers=headers), '"secrets"')


async def test_a_dry_run_tells_that_it_would_be_refused(mallory: httpx.AsyncClient) -> None:
    refused(await mallory.post(f"{API}/clusterroles?dryRun=All", json=role([SECRETS])))


async def test_a_label_makes_a_role_part_of_others(
    bed: ApiBed, mallory: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    """Mallory changes no rule: she labels `cluster-admin`, and `view`, which she has, holds all."""
    headers = {"content-type": "application/merge-patch+json"}
    labels = {"metadata": {"labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}}
    refused(await mallory.patch(f"{API}/clusterroles/cluster-admin", json=labels, headers=headers), '"*"')
    unruly = {"aggregationRule": None, "rules": [PODS]}
    refused(await mallory.patch(f"{API}/clusterroles/view", json=unruly, headers=headers), '["*"]')
    assert (await mallory.post(f"{API}/clusterroles", json=role([PODS]))).status_code == 201
    assert (await mallory.patch(f"{API}/clusterroles/r", json=labels, headers=headers)).status_code == 200


async def test_annotations_of_a_role_may_change_and_rights_may_shrink(
    bed: ApiBed, mallory: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    made = (await admin.post(f"{API}/clusterroles", json=role([SECRETS, PODS]))).json()
    made["metadata"]["annotations"] = {"a": "b"}
    assert (await mallory.put(f"{API}/clusterroles/r", json=made)).status_code == 200
    headers = {"content-type": "application/merge-patch+json"}
    patch = {"rules": [PODS]}
    assert (await mallory.patch(f"{API}/clusterroles/r", json=patch, headers=headers)).status_code == 200


async def test_a_role_that_collects_what_others_write(mallory: httpx.AsyncClient) -> None:
    rule = {"clusterRoleSelectors": [{"matchLabels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}]}
    refused(await mallory.post(f"{API}/clusterroles", json=role([], "all", aggregationRule=rule)), '["*"]')


async def test_a_binding_to_a_role_that_is_made_powerful_later(
    bed: ApiBed, mallory: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    """Mallory binds a role that is harmless, or not there yet, and hopes that it grows. An administrator
    who makes it grow knows; but she cannot bind what is not there, nor turn her binding to another role."""
    answer = await mallory.post(f"{API}/clusterrolebindings", json=binding("ClusterRole/later"))
    assert answer.status_code == 404
    assert (await mallory.post(f"{API}/clusterroles", json=role([PODS]))).status_code == 201
    await bed.caught_up()
    made = await mallory.post(f"{API}/clusterrolebindings", json=binding("ClusterRole/r"))
    assert made.status_code == 201
    for client in (mallory, admin):
        moved = {**made.json(), "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"}}
        answer = await client.put(f"{API}/clusterrolebindings/b", json=moved)
        assert answer.status_code == 422
        assert "cannot change roleRef" in answer.json()["message"]


async def test_adding_oneself_to_a_binding_of_others(
    bed: ApiBed, mallory: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    made = await admin.post(f"{API}/clusterrolebindings", json=binding("ClusterRole/cluster-admin", "root"))
    wider = {**made.json(), "subjects": binding("", "mallory")["subjects"]}
    refused(await mallory.put(f"{API}/clusterrolebindings/b", json=wider))
    headers = {"content-type": "application/merge-patch+json"}
    patch = {"subjects": wider["subjects"]}
    refused(await mallory.patch(f"{API}/clusterrolebindings/b", json=patch, headers=headers))
    patch = {"metadata": {"labels": {"a": "b"}}}  # what changes no right is no escalation
    answer = await mallory.patch(f"{API}/clusterrolebindings/b", json=patch, headers=headers)
    assert answer.status_code == 200


async def test_through_apply_of_a_set(mallory: httpx.AsyncClient) -> None:
    objects = [
        {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRoleBinding", **binding("ClusterRole/cluster-admin")}
    ]
    for dry_run in (False, True):
        body = {"objects": objects, "dryRun": dry_run}
        refused(await mallory.post("/tsujiban/v1/apply", json=body), "attempting to grant")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    refused(
        await mallory.post("/tsujiban/v1/apply", json={"objects": [secret]}),
        'User "mallory" cannot create resource "secrets"',
    )


async def test_who_may_bind_or_escalate_may(bed: ApiBed) -> None:
    bind = {"apiGroups": [RBAC], "resources": ["clusterroles"], "resourceNames": ["view"], "verbs": ["bind"]}
    escalate = {"apiGroups": [RBAC], "resources": ["roles"], "verbs": ["escalate"]}
    await bed.grant("carol", EDIT_RIGHTS, bind, escalate)
    async with bed.client(bed.user("carol", "staff")) as carol:
        path = f"{API}/namespaces/default/rolebindings"
        assert (await carol.post(path, json=binding("ClusterRole/view", "dave"))).status_code == 201
        refused(await carol.post(path, json=binding("ClusterRole/edit", "dave", "c")))
        path = f"{API}/namespaces/default/roles"
        assert (await carol.post(path, json=role([SECRETS]))).status_code == 201
        refused(await carol.post(f"{API}/clusterroles", json=role([SECRETS])))


async def test_an_administrator_of_a_namespace_gives_away_its_share(bed: ApiBed) -> None:
    await bed.grant("nora", role="admin", namespace="default")
    async with bed.client(bed.user("nora", "staff")) as nora:
        path = f"{API}/namespaces/default/rolebindings"
        assert (await nora.post(path, json=binding("ClusterRole/edit", "dave"))).status_code == 201
        assert (await nora.post(path, json=binding("ClusterRole/admin", "dave", "c"))).status_code == 201
        refused(await nora.post(path, json=binding("ClusterRole/cluster-admin", "nora", "d")))
        elsewhere = f"{API}/namespaces/kube-system/rolebindings"
        refused(await nora.post(elsewhere, json=binding("ClusterRole/view", "nora")), "cannot create")


async def test_a_role_too_large_to_compare(mallory: httpx.AsyncClient) -> None:
    words = [f"w{number}" for number in range(300)]
    huge = {"apiGroups": words, "resources": words, "verbs": words}
    refused(await mallory.post(f"{API}/clusterroles", json=role([huge])), "cannot compare")
