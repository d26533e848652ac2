"""Jobs and what makes them by a schedule, in the real server's words where it has some.

Source: Kubernetes API reference, "Job", "CronJob", and the answers of its server to such objects (v1.35).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tsujiban.resources import cron
from tsujiban.resources.kinds import batch
from tsujiban.resources.positions import Path
from tsujiban.resources.validate import names
from tsujiban.resources.validate.report import Report
from tsujiban.resources.validate.workloads import LARGEST, check_template

_CONCURRENCY = ("Allow", "Forbid", "Replace")
_ACTIONS = ("FailJob", "FailIndex", "Ignore", "Count")
_MOST_INDEXES = 100_000  # at a time
_MOST_COMPLETIONS = 1_000_000  # with an index each: ours, they are held in memory
_MANY_COMPLETIONS, _MOST_OF_MANY = 100_000, 10_000  # with a limit for each index
_LONGEST_CRON_NAME = 52  # the time comes behind it
_LONGEST_NAME = 63  # it becomes a label of the pods


def _job(job: batch.Job, raw: Mapping[str, Any], report: Report) -> None:
    if len(job.metadata.name) > _LONGEST_NAME:
        message = f"Invalid value: {job.metadata.name[:64]!r}: must be no more than 63 bytes"
        report.error(("metadata", "name"), "bad-name", message)
    _job_spec(job.spec, ("spec",), report)


def _job_spec(spec: batch.JobSpec, path: Path, report: Report) -> None:
    names.check_selector(spec.selector, (*path, "selector"), report)
    check_template(spec.template, (*path, "template"), report, restarts=("OnFailure", "Never"))
    numbers = {
        "completions": spec.completions,
        "parallelism": spec.parallelism,
        "backoffLimit": spec.backoff_limit,
        "backoffLimitPerIndex": spec.backoff_limit_per_index,
        "maxFailedIndexes": spec.max_failed_indexes,
        "activeDeadlineSeconds": spec.active_deadline_seconds,
        "ttlSecondsAfterFinished": spec.ttl_seconds_after_finished,
    }
    _not_negative(numbers, path, report)
    if spec.completion_mode is not None:
        report.one_of((*path, "completionMode"), spec.completion_mode, ("NonIndexed", "Indexed"))
    if spec.pod_replacement_policy is not None:
        policies = ("Failed", "TerminatingOrFailed")
        report.one_of((*path, "podReplacementPolicy"), spec.pod_replacement_policy, policies)
    _indexed(spec, path, report)
    _by_index(spec, path, report)
    if spec.pod_failure_policy is not None:
        _failure_policy(spec, spec.pod_failure_policy, (*path, "podFailurePolicy"), report)


def _not_negative(numbers: Mapping[str, int | None], path: Path, report: Report) -> None:
    for field, number in numbers.items():
        if number is not None and number < 0:
            message = f"Invalid value: {number}: must be greater than or equal to 0"
            report.error((*path, field), "out-of-range", message)
        elif number is not None and number > LARGEST:
            report.error((*path, field), "out-of-range", f"Invalid value: must be no more than {LARGEST}")


def _indexed(spec: batch.JobSpec, path: Path, report: Report) -> None:
    if spec.completion_mode == "Indexed":
        if spec.completions is None:
            message = "Required value: when completion mode is Indexed"
            report.error((*path, "completions"), "missing-field", message)
        elif spec.completions > _MOST_COMPLETIONS:
            message = f"Invalid value: {spec.completions}: must be less than or equal to {_MOST_COMPLETIONS}"
            report.error((*path, "completions"), "out-of-range", f"{message} when completion mode is Indexed")
        if (spec.parallelism or 0) > _MOST_INDEXES:
            message = f"Invalid value: {spec.parallelism}: must be less than or equal to {_MOST_INDEXES}"
            report.error((*path, "parallelism"), "out-of-range", f"{message} when completion mode is Indexed")
        return
    for field, value in (
        ("backoffLimitPerIndex", spec.backoff_limit_per_index),
        ("maxFailedIndexes", spec.max_failed_indexes),
        ("successPolicy", spec.success_policy),
    ):
        if value is not None:
            message = "Invalid value: requires indexed completion mode"
            report.error((*path, field), "conflict", message)


def _by_index(spec: batch.JobSpec, path: Path, report: Report) -> None:
    """A limit for each index, and for how many may fail."""
    lost, completions = spec.max_failed_indexes, spec.completions
    if spec.backoff_limit_per_index is None and lost is not None:
        message = "Required value: when maxFailedIndexes is specified"
        report.error((*path, "backoffLimitPerIndex"), "missing-field", message)
    if spec.completion_mode != "Indexed" or completions is None:
        return
    if lost is not None and lost > completions:
        message = f"Invalid value: {lost}: must be less than or equal to completions"
        report.error((*path, "maxFailedIndexes"), "out-of-range", message)
    if completions <= _MANY_COMPLETIONS or spec.backoff_limit_per_index is None:
        return
    if lost is None:
        message = f"Required value: must be specified when completions is above {_MANY_COMPLETIONS}"
        report.error((*path, "maxFailedIndexes"), "missing-field", message)
    for field, number in (("parallelism", spec.parallelism), ("maxFailedIndexes", lost)):
        if (number or 0) > _MOST_OF_MANY:
            message = (
                f"Invalid value: {number}: must be less than or equal to {_MOST_OF_MANY} when completions"
            )
            used = f"are above {_MANY_COMPLETIONS} and used with backoff limit per index"
            report.error((*path, field), "out-of-range", f"{message} {used}")


def _failure_policy(spec: batch.JobSpec, policy: batch.PodFailurePolicy, path: Path, report: Report) -> None:
    if spec.template.spec.restart_policy not in ("", "Never"):
        message = 'Invalid value: only "Never" is supported when podFailurePolicy is specified'
        report.error((*path[:-1], "template", "spec", "restartPolicy"), "conflict", message)
    if spec.pod_replacement_policy == "TerminatingOrFailed":
        message = 'Unsupported value: "TerminatingOrFailed": supported values: "Failed"'
        report.error((*path[:-1], "podReplacementPolicy"), "conflict", message)
    for index, rule in enumerate(policy.rules):
        here = (*path, "rules", index)
        report.one_of((*here, "action"), rule.action, _ACTIONS)
        if rule.action == "FailIndex" and spec.backoff_limit_per_index is None:
            message = 'Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set'
            report.error((*here, "action"), "conflict", message)
        codes = rule.on_exit_codes
        if (codes is None) is (not rule.on_pod_conditions):
            message = "Invalid value: specifying one of OnExitCodes and OnPodConditions is required"
            report.error(here, "conflict", message)
        if codes is not None:
            report.one_of((*here, "onExitCodes", "operator"), codes.operator, ("In", "NotIn"))
            if not codes.values:
                message = "Invalid value: at least one value is required"
                report.error((*here, "onExitCodes", "values"), "missing-field", message)
            elif codes.operator == "In" and 0 in codes.values:
                message = 'Invalid value: 0: must not be 0 for the "In" operator'
                report.error((*here, "onExitCodes", "values"), "bad-value", message)


def _cron_job(job: batch.CronJob, raw: Mapping[str, Any], report: Report) -> None:
    spec = job.spec
    if len(job.metadata.name) > _LONGEST_CRON_NAME:
        message = f"Invalid value: {job.metadata.name[:64]!r}: must be no more than 52 characters"
        report.error(("metadata", "name"), "bad-name", message)
    if report.required(("spec", "schedule"), spec.schedule):
        try:
            cron.parse(spec.schedule)
        except cron.ScheduleError as error:
            text = f"Invalid value: {spec.schedule[:64]!r}: {str(error)[:200]}"
            report.error(("spec", "schedule"), "bad-value", text)
    if spec.time_zone is not None and spec.time_zone.lower() in ("", "local"):
        text = f"Invalid value: {spec.time_zone!r}: timeZone must be an explicit time zone"
        report.error(("spec", "timeZone"), "bad-value", text)
    numbers = {
        "startingDeadlineSeconds": spec.starting_deadline_seconds,
        "successfulJobsHistoryLimit": spec.successful_jobs_history_limit,
        "failedJobsHistoryLimit": spec.failed_jobs_history_limit,
    }
    _not_negative(numbers, ("spec",), report)
    report.one_of(("spec", "concurrencyPolicy"), spec.concurrency_policy, _CONCURRENCY, empty=True)
    template, path = spec.job_template.spec, ("spec", "jobTemplate", "spec")
    if template.manual_selector:
        text = 'Unsupported value: true: supported values: "nil", "false"'
        report.error((*path, "manualSelector"), "bad-value", text)
    _job_spec(template, path, report)


CHECKS = {"Job": _job, "CronJob": _cron_job}
