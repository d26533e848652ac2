"""`backoffLimitPerIndex`: each index of an Indexed Job fails, pauses and is tried again by itself. Pure.

A pod says in its annotations how often its index has failed before it. So the newest failed pod of an index
that is to be tried again is kept, and not counted, until there is the next: whoever deletes pods does not
make the index begin anew.
Source: Kubernetes documentation, "Jobs", "Backoff limit per index".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tsujiban.controller.reconcile import jobfailures, jobindexes
from tsujiban.controller.world import Json, is_terminating, whole

FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"
"""Annotations of a pod: failures of its index before it that count, and those that a policy ignores."""


class Retry(NamedTuple):
    """An index that has failed, and may try again."""

    failures: int
    ignored: int
    at: float  # UNIX seconds; 0.0: at once

    def annotations(self) -> dict[str, str]:
        """What the next pod of the index says."""
        told = {FAILURES: str(self.failures)}
        return {**told, IGNORED: str(self.ignored)} if self.ignored else told


FIRST = Retry(0, 0, 0.0)


class Failure(NamedTuple):
    """A pod of an index that has failed, and what is to be done by the Job's policy."""

    pod: Json
    action: str  # Count, Ignore, FailIndex or FailJob

    def is_last(self, limit: int) -> bool:
        """Whether its index is given up."""
        return self.action == "FailIndex" or (self.action != "Ignore" and before(self.pod)[0] >= limit)

    def retry(self) -> Retry:
        """How its index is tried again. What was deleted is replaced at once."""
        failures, ignored = before(self.pod)
        at = 0.0
        if not is_terminating(self.pod):
            at = jobfailures.ended_at(self.pod) + jobfailures.pause(failures + ignored + 1)
        if self.action == "Ignore":
            return Retry(failures, ignored + 1, at)
        return Retry(failures + 1, ignored, at)


def limit(job: Json) -> int | None:
    """How often an index may fail and be tried again; None: indexes do not count by themselves."""
    found = job["spec"].get("backoffLimitPerIndex")
    return found if isinstance(found, int) and job["spec"].get("completionMode") == "Indexed" else None


def before(pod: Json) -> tuple[int, int]:
    """(failures that count, those that do not) of its index before this pod; nobody else's word is odd."""
    own = pod["metadata"].get("annotations") or {}
    return whole(own.get(FAILURES, "")) or 0, whole(own.get(IGNORED, "")) or 0


def newest(pods: Iterable[Json]) -> dict[int, int]:
    """By index, how many failures were before the newest of its pods."""
    found: dict[int, int] = {}
    for pod in pods:
        index = jobindexes.of_pod(pod)
        found[index] = max(found.get(index, 0), sum(before(pod)))
    return found
