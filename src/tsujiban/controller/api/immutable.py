"""What of a workload cannot change once it is there: its controller goes by it. In the real server's words.

Source: Kubernetes API reference, "Workload Resources", and the answers of its server to such changes (v1.35).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from tsujiban.controller.api import defaulting
from tsujiban.controller.api.documents import dig
from tsujiban.controller.api.errors import invalid
from tsujiban.controller.api.guard import Review, Reviewer
from tsujiban.resources.findings import Finding
from tsujiban.resources.registry import kind_for

Json = dict[str, Any]
_POD = kind_for("v1", "Pod")
Rule = Callable[[Json, Json], list[Finding]]  # of what is there, and what is to be


def reviewers() -> dict[tuple[str, str], Reviewer]:
    """Who must judge a change of which kind."""
    selector = _reviewer(lambda old, new: _same(old, new, "spec.selector"))
    return {
        **{("apps", plural): selector for plural in ("daemonsets", "deployments", "replicasets")},
        ("apps", "statefulsets"): _reviewer(_stateful_set),
        ("batch", "jobs"): _reviewer(_job),
        ("", "pods"): _reviewer(_pod),
        ("apps", "controllerrevisions"): _reviewer(lambda old, new: _same(old, new, "data")),
    }


def _reviewer(rule: Rule) -> Callable[[Review], Awaitable[Json | None]]:
    async def review(review: Review) -> Json | None:
        """Raises ApiError (422)."""
        if review.old is not None and review.new is not None:
            findings = rule(review.old, review.new)
            if findings:
                kind = kind_for(review.new["apiVersion"], review.new["kind"])
                raise invalid(kind.kind, kind.group, review.key.name, findings)
        return None

    return review


_FIXED = (
    *("selector", "completionMode", "podFailurePolicy", "successPolicy"),
    *("backoffLimitPerIndex", "managedBy"),
)
# what of the template a queue may still set before the Job has begun
_PLACING = ("affinity", "nodeSelector", "schedulingGates", "tolerations")


_OPEN = (
    *("replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit"),
    *("persistentVolumeClaimRetentionPolicy", "minReadySeconds"),
)


def _stateful_set(old: Json, new: Json) -> list[Finding]:
    fixed = [{key: value for key, value in one["spec"].items() if key not in _OPEN} for one in (old, new)]
    if fixed[0] == fixed[1]:
        return []
    fields = ", ".join(f"'{field}'" for field in _OPEN[:-1]) + f" and '{_OPEN[-1]}'"
    text = f"Forbidden: updates to statefulset spec for fields other than {fields} are forbidden"
    return [Finding(code="immutable", message=text, field="spec")]


def _job(old: Json, new: Json) -> list[Finding]:
    found = _same(old, new, *(f"spec.{field}" for field in _FIXED))
    spec = new["spec"]
    elastic = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    if not elastic:
        found += _same(old, new, "spec.completions")
    waits = dig(old, "spec", "suspend") and not dig(old, "status", "startTime")
    forms = [_fixed_template(one) if waits else one for one in (old, new)]
    return [*found, *_same(forms[0], forms[1], "spec.template")]


def _fixed_template(job: Json) -> Json:
    template = dig(job, "spec", "template") or {}
    spec = {key: value for key, value in (template.get("spec") or {}).items() if key not in _PLACING}
    head = {
        key: value
        for key, value in (template.get("metadata") or {}).items()
        if key not in ("labels", "annotations")
    }
    return {"spec": {"template": {**template, "metadata": head, "spec": spec}}}


_POD_FORBIDDEN = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
    "(only additions to existing tolerations)"
)


def _pod(old: Json, new: Json) -> list[Finding]:
    """What a pod is, where it is and as whom: it runs already, and its node would be told another tale."""
    if old["spec"] == new["spec"]:
        return []
    before = defaulting.filled(old, _POD)["spec"]
    tolerated = new["spec"].get("tolerations") or []
    if _fixed_pod(before) == _fixed_pod(new["spec"]) and all(
        one in tolerated for one in before.get("tolerations") or ()
    ):
        return []
    return [Finding(code="immutable", message=_POD_FORBIDDEN, field="spec")]


def _fixed_pod(spec: Json) -> Json:
    fixed = {key: value for key, value in spec.items() if key not in ("activeDeadlineSeconds", "tolerations")}
    for part in ("containers", "initContainers"):
        if part in fixed:
            fixed[part] = [
                {key: value for key, value in one.items() if key != "image"} for one in fixed[part]
            ]
    return fixed


def _same(old: Json, new: Json, *fields: str) -> list[Finding]:
    found = []
    for field in fields:
        path = field.split(".")
        if (value := dig(new, *path)) != dig(old, *path):
            text = f"Invalid value: {msgspec.json.encode(value).decode()[:512]}: field is immutable"
            found.append(Finding(code="immutable", message=text, field=field))
    return found
