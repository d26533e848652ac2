"""batch/v1: kinds whose pods end."""

from __future__ import annotations

from typing import Any

from tsujiban.resources.kinds.core import PodTemplate
from tsujiban.resources.kinds.meta import LabelSelector, Object, ObjectMeta, Shape


class OnExitCodes(Shape, frozen=True):
    """Exit codes of one container, or of any (`container_name` None). `operator` is In or NotIn."""

    container_name: str | None = None
    operator: str = ""
    values: tuple[int, ...] = ()


class OnPodCondition(Shape, frozen=True):
    """A condition that a pod has."""

    type: str = ""
    status: str = ""


class PodFailureRule(Shape, frozen=True):
    """What becomes of a failure: `action` is FailJob, FailIndex, Ignore or Count."""

    action: str = ""
    on_exit_codes: OnExitCodes | None = None
    on_pod_conditions: tuple[OnPodCondition, ...] = ()


class PodFailurePolicy(Shape, frozen=True):
    """The first rule that fits decides."""

    rules: tuple[PodFailureRule, ...] = ()


class SuccessRule(Shape, frozen=True):
    """Which indexes, or how many of them, are enough."""

    succeeded_indexes: str | None = None
    succeeded_count: int | None = None


class SuccessPolicy(Shape, frozen=True):
    """One rule that is met is enough."""

    rules: tuple[SuccessRule, ...] = ()


class JobSpec(Shape, frozen=True):
    """Pods that end."""

    template: PodTemplate = PodTemplate()
    parallelism: int | None = None
    completions: int | None = None
    active_deadline_seconds: int | None = None
    pod_failure_policy: PodFailurePolicy | None = None
    success_policy: SuccessPolicy | None = None
    backoff_limit: int | None = None
    backoff_limit_per_index: int | None = None
    max_failed_indexes: int | None = None
    selector: LabelSelector | None = None
    manual_selector: bool | None = None
    ttl_seconds_after_finished: int | None = None
    completion_mode: str | None = None
    suspend: bool | None = None
    pod_replacement_policy: str | None = None
    managed_by: str | None = None


class Job(Object, frozen=True):
    """batch/v1 Job."""

    spec: JobSpec = JobSpec()
    status: Any = None


class JobTemplate(Shape, frozen=True):
    """The jobs that a CronJob makes."""

    metadata: ObjectMeta = ObjectMeta()
    spec: JobSpec = JobSpec()


class CronJobSpec(Shape, frozen=True):
    """Jobs at times."""

    schedule: str = ""
    time_zone: str | None = None
    starting_deadline_seconds: int | None = None
    concurrency_policy: str = ""
    suspend: bool | None = None
    job_template: JobTemplate = JobTemplate()
    successful_jobs_history_limit: int | None = None
    failed_jobs_history_limit: int | None = None


class CronJob(Object, frozen=True):
    """batch/v1 CronJob."""

    spec: CronJobSpec = CronJobSpec()
    status: Any = None
