"""What evictions may take from a budget; the statuses are what the controller would have counted."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import msgspec
import pytest
from tests.support.apibed import ApiBed

from tsujiban.controller.api import budgets
from tsujiban.store.protocol import Key

pytestmark = pytest.mark.anyio

PODS = "/api/v1/namespaces/default/pods"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
GOOD = {"disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2}


@pytest.fixture(autouse=True)
async def pods(admin: httpx.AsyncClient, bed: ApiBed) -> None:
    """Two that run, as far as the store knows; there is no node that could end them."""
    for name in ("a", "b"):
        body = {
            "metadata": {"name": name, "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "m", "image": "host"}]},
        }
        assert (await admin.post(PODS, json=body)).status_code == 201
        await say(bed, name, ready=True)


async def say(bed: ApiBed, name: str, *, ready: bool, phase: str = "Running") -> None:
    key = Key("", "pods", "default", name)
    stored = await bed.store.get(key)
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    status = {"phase": phase, "conditions": [condition]}
    pod = {**msgspec.json.decode(stored.value), "status": status}
    await bed.store.update(key, msgspec.json.encode(pod), stored.revision)


async def budget(admin: httpx.AsyncClient, name: str = "b", /, *, spec: Any = None, **status: Any) -> None:
    spec = {"selector": {"matchLabels": {"app": "web"}}, "minAvailable": 1, **(spec or {})}
    made = await admin.post(BUDGETS, json={"metadata": {"name": name}, "spec": spec})
    assert made.status_code == 201
    counted = {**made.json(), "status": {"observedGeneration": 1, **GOOD, **status}}
    assert (await admin.put(f"{BUDGETS}/{name}/status", json=counted)).status_code == 200


async def evict(admin: httpx.AsyncClient, name: str, **fields: Any) -> httpx.Response:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, **fields}
    return await admin.post(f"{PODS}/{name}/eviction", json=body)


async def status(admin: httpx.AsyncClient) -> Any:
    return (await admin.get(f"{BUDGETS}/b")).json()["status"]


async def test_the_last_one_is_taken_once(admin: httpx.AsyncClient) -> None:
    await budget(admin)
    answers = await asyncio.gather(evict(admin, "a"), evict(admin, "b"))
    assert sorted(answer.status_code for answer in answers) == [201, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    body = refused.json()
    assert (body["reason"], body["message"]) == (
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
    )
    assert body["details"]["causes"] == [
        {
            "reason": "DisruptionBudget",
            "message": "The disruption budget b needs 1 healthy pods and has 2 currently",
        }
    ]
    assert "retry-after" not in refused.headers
    left = await status(admin)
    assert (left["disruptionsAllowed"], len(left["disruptedPods"])) == (0, 1)
    assert left["conditions"][0]["reason"] == "InsufficientPods"
    assert len((await admin.get(PODS)).json()["items"]) == 1


async def test_a_trial_and_a_wrong_precondition_take_nothing(admin: httpx.AsyncClient) -> None:
    await budget(admin)
    assert (await evict(admin, "a", deleteOptions={"dryRun": ["All"]})).status_code == 201
    assert (await evict(admin, "a", deleteOptions={"preconditions": {"uid": "other"}})).status_code == 409
    assert (await evict(admin, "none")).status_code == 404
    assert await status(admin) == {"observedGeneration": 1, **GOOD}
    await admin.put(
        f"{BUDGETS}/b/status",
        json={**(await admin.get(f"{BUDGETS}/b")).json(), "status": {**GOOD, "disruptionsAllowed": 0}},
    )
    assert (await evict(admin, "a", deleteOptions={"dryRun": ["All"]})).status_code == 429


async def test_what_was_not_counted_yet_is_asked_for_later(admin: httpx.AsyncClient) -> None:
    await budget(admin, observedGeneration=0)
    refused = await evict(admin, "a")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
    assert "still being processed" in refused.json()["details"]["causes"][0]["message"]


async def test_two_budgets_are_one_too_many(admin: httpx.AsyncClient) -> None:
    await budget(admin)
    await budget(admin, "c", spec={"selector": {}})
    refused = await evict(admin, "a")
    assert (refused.status_code, refused.json()["reason"]) == (500, "InternalError")


async def test_too_many_promises(admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "MAX_PROMISED", 1)
    await budget(admin, disruptedPods=dict.fromkeys(("x", "y"), "2026-01-01T00:00:00Z"))
    assert (await evict(admin, "a")).status_code == 403


async def test_another_set_and_an_absent_selector_are_not_asked(admin: httpx.AsyncClient) -> None:
    await budget(admin, spec={"selector": {"matchLabels": {"app": "db"}}}, disruptionsAllowed=0)
    await budget(admin, "c", spec={"selector": None}, disruptionsAllowed=0)
    assert (await evict(admin, "a")).status_code == 201


@pytest.mark.parametrize("phase", ["Pending", "Succeeded", "Failed"])
async def test_what_serves_nobody_is_not_asked_for(admin: httpx.AsyncClient, bed: ApiBed, phase: str) -> None:
    await budget(admin, disruptionsAllowed=0)
    await say(bed, "a", ready=False, phase=phase)
    assert (await evict(admin, "a")).status_code == 201
    assert "disruptedPods" not in await status(admin)


@pytest.mark.parametrize(
    ("policy", "healthy", "code"),
    [("IfHealthyBudget", 1, 201), (None, 1, 201), (None, 0, 429), ("AlwaysAllow", 0, 201)],
)
async def test_pods_that_are_not_ready(
    admin: httpx.AsyncClient, bed: ApiBed, policy: str | None, healthy: int, code: int
) -> None:
    spec = {} if policy is None else {"unhealthyPodEvictionPolicy": policy}
    await budget(admin, spec=spec, disruptionsAllowed=0, currentHealthy=healthy)
    await say(bed, "a", ready=False)
    assert (await evict(admin, "a")).status_code == code
    assert "disruptedPods" not in await status(admin)
