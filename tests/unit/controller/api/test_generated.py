"""A Job knows its pods by its own uid, from the moment it is there."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tsujiban.controller.api import generated
from tsujiban.resources.registry import kind_for

pytestmark = pytest.mark.anyio

JOBS = "/apis/batch/v1/namespaces/default/jobs"
UID, OLD_UID = "batch.kubernetes.io/controller-uid", "controller-uid"
SPEC: dict[str, Any] = {
    "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "host"}]}}
}
MERGE = {"content-type": "application/merge-patch+json"}


@pytest.mark.parametrize("dry", [{}, {"dryRun": "All"}])
async def test_a_new_job_has_its_selector(admin: httpx.AsyncClient, dry: dict[str, str]) -> None:
    answer = await admin.post(JOBS, json={"metadata": {"name": "j"}, "spec": SPEC}, params=dry)
    assert answer.status_code == 201, answer.text
    job = answer.json()
    uid = job["metadata"]["uid"]
    assert job["spec"]["selector"] == {"matchLabels": {UID: uid}}
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels == {
        UID: uid,
        OLD_UID: uid,
        "batch.kubernetes.io/job-name": "j",
        "job-name": "j",
    }
    assert job["metadata"]["labels"] == labels


async def test_an_apply_of_the_same_changes_nothing(admin: httpx.AsyncClient) -> None:
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}, "spec": SPEC}
    headers = {"content-type": "application/apply-patch+yaml"}
    answers = [
        await admin.patch(f"{JOBS}/a", json=body, headers=headers, params={"fieldManager": "me"})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["spec"]["selector"]


async def test_what_a_job_goes_by_stays(admin: httpx.AsyncClient) -> None:
    await admin.post(JOBS, json={"metadata": {"name": "j"}, "spec": {**SPEC, "suspend": True}})
    for spec, field in (
        ({"completions": 3}, "spec.completions"),
        ({"selector": {"matchLabels": {UID: "x"}}}, "spec.selector"),
        ({"template": {"spec": {"hostname": "x"}}}, "spec.template"),
    ):
        answer = await admin.patch(f"{JOBS}/j", json={"spec": spec}, headers=MERGE)
        assert answer.status_code == 422
        assert [cause["field"] for cause in answer.json()["details"]["causes"]] == [field]
    placed = {"spec": {"parallelism": 4, "template": {"spec": {"nodeSelector": {"a": "b"}}}}}
    assert (await admin.patch(f"{JOBS}/j", json=placed, headers=MERGE)).status_code == 200


async def test_indexes_may_grow_with_what_runs_at_once(admin: httpx.AsyncClient) -> None:
    spec = {**SPEC, "completionMode": "Indexed", "completions": 2, "parallelism": 2}
    await admin.post(JOBS, json={"metadata": {"name": "j"}, "spec": spec})
    grown = {"spec": {"completions": 3, "parallelism": 3}}
    assert (await admin.patch(f"{JOBS}/j", json=grown, headers=MERGE)).status_code == 200


async def test_what_has_no_effect_is_said(admin: httpx.AsyncClient) -> None:
    pod = {**SPEC["template"]["spec"], "setHostnameAsFQDN": True}
    spec = {**SPEC, "template": {**SPEC["template"], "spec": pod}}
    answer = await admin.post(JOBS, json={"metadata": {"name": "j"}, "spec": spec})
    assert "spec.template.spec.setHostnameAsFQDN is stored, and has no effect" in answer.headers["warning"]


def test_who_brings_a_selector_keeps_it() -> None:
    own = {
        "metadata": {"name": "j"},
        "spec": {"manualSelector": True, "selector": {"matchLabels": {"a": "b"}}},
    }
    assert generated.job(own, "u") == own
    deployment = {"metadata": {"name": "d"}, "spec": {}}
    assert generated.identified(deployment, kind_for("apps/v1", "Deployment")) == (deployment, "")


async def test_a_cron_job_names_a_zone_that_there_is(admin: httpx.AsyncClient) -> None:
    path = "/apis/batch/v1/namespaces/default/cronjobs"
    spec = {"schedule": "@daily", "timeZone": "Mars/Olympus", "jobTemplate": {"spec": SPEC}}
    answer = await admin.post(path, json={"metadata": {"name": "c"}, "spec": spec})
    assert answer.status_code == 422
    (cause,) = answer.json()["details"]["causes"]
    assert cause["message"] == 'Invalid value: "Mars/Olympus": unknown time zone Mars/Olympus'
    good = {**spec, "timeZone": "Asia/Tokyo"}
    answer = await admin.post(path, json={"metadata": {"name": "c"}, "spec": good})
    assert answer.status_code == 201
    assert "warning" not in answer.headers
