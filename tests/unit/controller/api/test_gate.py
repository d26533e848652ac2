"""The way of a request, over the whole server."""

from __future__ import annotations

from types import SimpleNamespace

import httpx
import pytest
import structlog
from tests.support.apibed import ApiBed
from tests.support.wait import until

from tsujiban.controller.api import gate

pytestmark = pytest.mark.anyio


async def test_who_is_nobody_is_told_nothing(bed: ApiBed) -> None:
    """Not even whether a path, a kind or an object exists."""
    async with bed.client() as nobody:
        answers = [
            await nobody.get(path)
            for path in ("/api/v1/secrets", "/api/v1/nopes", "/x", "/api//v1", "/apis/nope/v1/x")
        ]
    for answer in answers:
        assert answer.status_code == 401
        assert answer.json() == {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": "Unauthorized",
            "reason": "Unauthorized",
            "code": 401,
        }
        assert answer.headers["audit-id"]


async def test_decisions_are_in_the_audit(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    await bed.grant("ann", role="view", namespace="default")
    async with bed.client(bed.user("ann", "staff")) as ann:
        await ann.get("/api/v1/namespaces/default/pods")
        await ann.get("/api/v1/namespaces/default/secrets/s")
    allowed, refused = bed.audit[-2:]
    assert allowed["annotations"]["authorization.k8s.io/decision"] == "allow"
    assert 'of ClusterRole "view" to user "ann"' in allowed["annotations"]["authorization.k8s.io/reason"]
    assert refused["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert refused["responseStatus"]["reason"] == "Forbidden"
    assert refused["objectRef"]["name"] == "s"


async def test_a_watch_is_told_at_both_ends(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    async with admin.stream("GET", "/api/v1/pods?watch=1") as answer:
        assert answer.status_code == 200
        assert [event["stage"] for event in bed.audit] == ["ResponseStarted"]
    await until(lambda: len(bed.audit) == 2)
    assert bed.audit[1]["stage"] == "ResponseComplete"
    assert {event["auditID"] for event in bed.audit} == {answer.headers["audit-id"]}


async def test_a_namespace_is_in_itself(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    await bed.grant("ann", role="admin", namespace="default")
    async with bed.client(bed.user("ann", "staff")) as ann:
        assert (await ann.get("/api/v1/namespaces/default")).status_code == 200
        assert (await ann.head("/api")).status_code in (200, 405)
        for refused in (
            await ann.get("/api/v1/namespaces/kube-system"),
            await ann.get("/api/v1/namespaces"),
            await ann.delete("/api/v1/namespaces/default"),
        ):
            assert refused.status_code == 403


async def test_a_flood_of_guesses_does_not_fill_the_log(bed: ApiBed, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    for now in (61.0, 119.0, 120.0):
        monkeypatch.setattr(gate, "time", SimpleNamespace(monotonic=lambda now=now: now))
        with structlog.testing.capture_logs() as logs:
            async with bed.client(None, authorization="Bearer guess") as stranger:
                for _ in range(40):
                    assert (await stranger.get("/api/v1/pods")).status_code == 401
        told.append(sum(entry["event"] == "not authenticated" for entry in logs))
        assert "guess" not in repr(logs)
    assert told == [30, 0, 30]  # in each minute


async def test_a_list_by_name_shows_that_object_and_no_other(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    """Ann may read one secret. She asks for lists, and writes her field selector in every way she knows."""
    for name in ("mine", "other"):
        body = {"metadata": {"name": name}, "data": {"k": "aGk="}}
        assert (await admin.post("/api/v1/namespaces/default/secrets", json=body)).status_code == 201
    rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["mine"], "verbs": ["*"]}
    await bed.grant("ann", rule, namespace="default")
    path = "/api/v1/namespaces/default/secrets"
    async with bed.client(bed.user("ann", "staff")) as ann:
        answer = await ann.get(f"{path}?fieldSelector=metadata.name%3Dmine")
        assert [item["metadata"]["name"] for item in answer.json()["items"]] == ["mine"]
        for query in (
            "",
            "fieldSelector=metadata.name!%3Dmine",
            "fieldSelector=metadata.namespace%3Dmine",
            "fieldSelector=metadata.name%3Dother",
            "fieldSelector=metadata.name%3Dmine&fieldSelector=metadata.name%3Dother",
            "fieldSelector=metadata.name%3Dmine&fieldSelector=",
            "fieldSelector=metadata.namespace%3Ddefault,metadata.name%3Dother",
            "labelSelector=metadata.name%3Dmine",
            "watch=1&fieldSelector=metadata.name%3Dother",
        ):
            answer = await ann.get(f"{path}?{query}")
            assert answer.status_code == 403, query
        answer = await ann.get(f"{path}?fieldSelector=metadata.name%3Dmine,metadata.name%3Dother")
        assert answer.json()["items"] == []
        answer = await ann.get(
            f"{path}?fieldSelector=metadata.name%3Dother&fieldSelector=metadata.name%3Dmine"
        )
        assert [item["metadata"]["name"] for item in answer.json()["items"]] == ["mine"]
        answer = await ann.delete(f"{path}?fieldSelector=metadata.name%3Dmine")
        assert answer.status_code == 403  # deletecollection is about all
        assert (await ann.get("/api/v1/secrets?fieldSelector=metadata.name%3Dmine")).status_code == 403
