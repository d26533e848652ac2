"""Jobs, and what makes them by a schedule."""

from __future__ import annotations

from typing import Any

import pytest

POD = {"containers": [{"name": "a", "image": "host"}]}


def template(policy: str = "Never") -> dict[str, Any]:
    return {"spec": {**POD, "restartPolicy": policy}}


EXIT = {"onExitCodes": {"operator": "In", "values": [1]}}


def rules(*listed: dict[str, Any]) -> dict[str, Any]:
    return {"podFailurePolicy": {"rules": list(listed)}}


INDEXED = {"completionMode": "Indexed", "completions": 3}
MANY = {**INDEXED, "completions": 100_001, "backoffLimitPerIndex": 1, "maxFailedIndexes": 1}


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"template": template("Always")}, "template.spec.restartPolicy", "bad-value"),
        ({"completions": -1}, "completions", "out-of-range"),
        ({"completionMode": "Indexed", "completions": 1_000_001}, "completions", "out-of-range"),
        ({"activeDeadlineSeconds": 2**31}, "activeDeadlineSeconds", "out-of-range"),
        ({"parallelism": -1}, "parallelism", "out-of-range"),
        ({"backoffLimit": -1}, "backoffLimit", "out-of-range"),
        ({"activeDeadlineSeconds": -1}, "activeDeadlineSeconds", "out-of-range"),
        ({"ttlSecondsAfterFinished": -1}, "ttlSecondsAfterFinished", "out-of-range"),
        ({"completionMode": "indexed"}, "completionMode", "bad-value"),
        ({"completionMode": "Indexed"}, "completions", "missing-field"),
        (
            {"completionMode": "Indexed", "completions": 1, "parallelism": 100_001},
            "parallelism",
            "out-of-range",
        ),
        ({"successPolicy": {"rules": []}}, "successPolicy", "conflict"),
        ({**INDEXED, "maxFailedIndexes": 1}, "backoffLimitPerIndex", "missing-field"),
        ({**INDEXED, "backoffLimitPerIndex": 1, "maxFailedIndexes": 4}, "maxFailedIndexes", "out-of-range"),
        ({"backoffLimitPerIndex": 1}, "backoffLimitPerIndex", "conflict"),
        ({**MANY, "maxFailedIndexes": None}, "maxFailedIndexes", "missing-field"),
        ({**MANY, "maxFailedIndexes": 10_001}, "maxFailedIndexes", "out-of-range"),
        ({**MANY, "parallelism": 10_001}, "parallelism", "out-of-range"),
        (
            {**INDEXED, **rules({"action": "FailIndex", **EXIT})},
            "podFailurePolicy.rules[0].action",
            "conflict",
        ),
        ({"podReplacementPolicy": "Never"}, "podReplacementPolicy", "bad-value"),
        (rules({"action": "Stop", **EXIT}), "podFailurePolicy.rules[0].action", "bad-value"),
        (rules({"action": "Count"}), "podFailurePolicy.rules[0]", "conflict"),
        (
            rules({"action": "Count", "onExitCodes": {"operator": "In", "values": []}}),
            "podFailurePolicy.rules[0].onExitCodes.values",
            "missing-field",
        ),
        (
            rules({"action": "Count", "onExitCodes": {"operator": "In", "values": [0]}}),
            "podFailurePolicy.rules[0].onExitCodes.values",
            "bad-value",
        ),
        (
            {"template": template("OnFailure"), **rules({"action": "Count", **EXIT})},
            "template.spec.restartPolicy",
            "conflict",
        ),
        (
            {"podReplacementPolicy": "TerminatingOrFailed", **rules({"action": "Count", **EXIT})},
            "podReplacementPolicy",
            "conflict",
        ),
    ],
)
def test_job(judge: Any, fields: dict[str, Any], field: str, code: str) -> None:
    spec = {"template": template(), **fields}
    assert judge("batch/v1", "Job", spec=spec) == {(f"spec.{field}", code)}


def test_good_jobs(judge: Any) -> None:
    for policy in ("OnFailure", "Never"):
        assert judge("batch/v1", "Job", spec={"template": template(policy), "backoffLimit": 0}) == set()
    conditions = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    spec = {"template": template(), **rules({"action": "FailJob", **EXIT}, conditions)}
    assert judge("batch/v1", "Job", spec=spec) == set()
    by_index = {**INDEXED, "backoffLimitPerIndex": 1, "maxFailedIndexes": 3}
    spec = {"template": template(), **by_index, **rules({"action": "FailIndex", **EXIT})}
    assert judge("batch/v1", "Job", spec=spec) == set()


def test_a_job_gives_its_name_to_a_label(judge: Any) -> None:
    told = judge("batch/v1", "Job", metadata={"name": "x" * 64}, spec={"template": template()})
    assert told == {("metadata.name", "bad-name")}


def test_cron_job(judge: Any) -> None:
    spec = {"jobTemplate": {"spec": {"template": template("Always")}}, "concurrencyPolicy": "x"}
    assert judge("batch/v1", "CronJob", spec=spec) == {
        ("spec.schedule", "missing-field"),
        ("spec.concurrencyPolicy", "bad-value"),
        ("spec.jobTemplate.spec.template.spec.restartPolicy", "bad-value"),
    }


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"schedule": "x"}, "schedule", "bad-value"),
        ({"schedule": "TZ=UTC 1 * * * *"}, "schedule", "bad-value"),
        ({"timeZone": "local"}, "timeZone", "bad-value"),
        ({"startingDeadlineSeconds": -1}, "startingDeadlineSeconds", "out-of-range"),
        ({"successfulJobsHistoryLimit": -1}, "successfulJobsHistoryLimit", "out-of-range"),
        (
            {"jobTemplate": {"spec": {"template": template(), "manualSelector": True}}},
            "jobTemplate.spec.manualSelector",
            "bad-value",
        ),
    ],
)
def test_what_a_cron_job_cannot_be(judge: Any, fields: dict[str, Any], field: str, code: str) -> None:
    spec = {"schedule": "@daily", "jobTemplate": {"spec": {"template": template()}}, **fields}
    assert judge("batch/v1", "CronJob", spec=spec) == {(f"spec.{field}", code)}


def test_a_cron_job_leaves_room_for_the_time(judge: Any) -> None:
    spec = {"schedule": "@daily", "jobTemplate": {"spec": {"template": template()}}}
    told = judge("batch/v1", "CronJob", metadata={"name": "x" * 53}, spec=spec)
    assert told == {("metadata.name", "bad-name")}
    assert judge("batch/v1", "CronJob", metadata={"name": "x" * 52}, spec=spec) == set()
