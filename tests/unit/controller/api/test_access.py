from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from tests.support.apibed import ApiBed

from tsujiban.controller.api import access
from tsujiban.controller.api.access import Access
from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.errors import ApiError
from tsujiban.controller.api.users import User
from tsujiban.store.protocol import Key
from tsujiban.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio

PODS = Attributes(verb="list", resource="pods")


async def test_until_roles_are_loaded_only_administrators_get_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "READY_SECONDS", 0.05)
    store = await SqliteStore.open(tmp_path / "store.db")
    found = Access(store, "10.96.0.0/16")
    assert (await found.decide(User("root", ("system:masters",)), PODS)).allowed
    with pytest.raises(ApiError) as error:
        await found.decide(User("ann"), PODS)
    assert error.value.code == 503
    await store.close()


async def test_rights_come_and_go(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    path = "/api/v1/namespaces/default/pods"
    async with bed.client(bed.user("ann", "staff")) as ann:
        assert (await ann.get(path)).status_code == 403
        await bed.grant("ann", role="view", namespace="default")
        assert (await ann.get(path)).status_code == 200
        assert (await ann.get("/api/v1/pods")).status_code == 403
        binding = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings/test-ann-default-0"
        assert (await admin.delete(binding)).status_code == 200
        await bed.caught_up()
        assert (await ann.get(path)).status_code == 403


async def test_a_right_is_one_to_the_group_that_is_asked(bed: ApiBed) -> None:
    rule = {
        "apiGroups": ["events.k8s.io"],
        "resources": ["events"],
        "verbs": ["get", "list", "create", "patch"],
    }
    await bed.grant("ann", rule, namespace="default")
    await bed.grant("bob", role="view", namespace="default")
    core, other = (f"/{root}/namespaces/default/events" for root in ("api/v1", "apis/events.k8s.io/v1"))
    applied = {"content-type": "application/apply-patch+yaml"}
    event = {"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "note": "x"}
    event["regarding"] = {"kind": "Pod", "name": "p", "namespace": "default"}
    async with bed.client(bed.user("ann", "staff")) as ann, bed.client(bed.user("bob", "staff")) as bob:
        assert (await ann.get(other)).status_code == 200
        refused = await ann.get(core)
        assert refused.status_code == 403, refused.text
        made = await ann.patch(f"{other}/e?fieldManager=ann", json=event, headers=applied)
        assert made.status_code == 201, made.text
        assert (await bob.get(core)).status_code == (await bob.get(other)).status_code == 200


async def test_a_node_writes_its_own_and_does_not_lie(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    for name in ("n1", "n2"):
        body = {"metadata": {"name": name}, "status": {}}
        assert (await admin.post("/api/v1/nodes", json=body)).status_code == 201
    pod = {
        "metadata": {"name": "p"},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "host"}]},
    }
    assert (await admin.post("/api/v1/namespaces/default/pods", json=pod)).status_code == 201
    await bed.caught_up()
    headers = {"content-type": "application/merge-patch+json"}
    async with bed.client(bed.node("n1")) as node1, bed.client(bed.node("n2")) as node2:
        path = "/api/v1/namespaces/default/pods/p"
        good = {"status": {"phase": "Running"}}
        assert (await node1.patch(f"{path}/status", json=good, headers=headers)).status_code == 200
        lie = {"status": {"podIP": "10.244.9.9"}}
        answer = await node1.patch(f"{path}/status", json=lie, headers=headers)
        assert (answer.status_code, "podIP" in answer.json()["message"]) == (403, True)
        assert (await node2.get(path)).status_code == 403
        assert (await node2.patch(f"{path}/status", json=good, headers=headers)).status_code == 403
        address = {"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}}
        answer = await node1.patch("/api/v1/nodes/n1/status", json=address, headers=headers)
        assert answer.status_code == 403
        listed = await node1.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1")
        assert [item["metadata"]["name"] for item in listed.json()["items"]] == ["p"]
        assert (await node1.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn2")).status_code == 403


async def test_a_pod_of_odd_parts_stops_nobody(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    pods = "/api/v1/namespaces/default/pods"
    container = {"name": "c", "image": "host"}
    odd_fields: list[dict[str, Any]] = [{"volumes": ["x"]}, {"imagePullSecrets": "x"}, {"tolerations": [1]}]
    for number, odd in enumerate(odd_fields):
        body = {
            "metadata": {"name": f"p{number}"},
            "spec": {"nodeName": "n1", "containers": [container], **odd},
        }
        assert (await admin.post(pods, json=body)).status_code == 422
    volume = {"name": "v", "secret": "x", "configMap": [], "projected": {"sources": [1]}}
    source = {"envFrom": [{"secretRef": "x"}], "env": [{"name": "A", "valueFrom": {"secretKeyRef": "x"}}]}
    spec = {"nodeName": "n1", "containers": [{**container, **source}], "volumes": [volume]}
    made = await admin.post(pods, json={"metadata": {"name": "p"}, "spec": spec})
    assert made.status_code == 422, made.text
    made = await admin.post(pods, json={"metadata": {"name": "p"}, "spec": {**spec, "volumes": []}})
    assert made.status_code == 422, made.text
    whole = {"metadata": {"name": "p"}, "spec": {**spec, "containers": [container], "volumes": []}}
    made = await admin.post(pods, json=whole)
    assert made.status_code == 201, made.text
    before = {"metadata": {"name": "q", "namespace": "default"}, "spec": spec}  # as it could be stored once
    await bed.store.create(Key("", "pods", "default", "q"), msgspec.json.encode(before))
    await bed.caught_up()
    async with bed.client(bed.node("n1")) as node:
        assert (await node.get(f"{pods}/p")).status_code == 200
        assert (await node.get(f"{pods}/q")).status_code == 200
