"""What of a workload cannot change once it is there: its controller goes by it. In the real server's words.

Source: Kubernetes API reference, "Workload Resources", and the answers of its server to such changes (v1.35).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from tsujiban.controller.api.documents import dig
from tsujiban.controller.api.errors import invalid
from tsujiban.controller.api.guard import Review, Reviewer
from tsujiban.resources.findings import Finding
from tsujiban.resources.registry import kind_for

Json = dict[str, Any]
Rule = Callable[[Json, Json], list[Finding]]  # of what is there, and what is to be


def reviewers() -> dict[tuple[str, str], Reviewer]:
    """Who must judge a change of which kind."""
    selector = _reviewer(lambda old, new: _same(old, new, "spec.selector"))
    return {
        **{("apps", plural): selector for plural in ("daemonsets", "deployments", "replicasets")},
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


def _same(old: Json, new: Json, *fields: str) -> list[Finding]:
    found = []
    for field in fields:
        path = field.split(".")
        if (value := dig(new, *path)) != dig(old, *path):
            text = f"Invalid value: {msgspec.json.encode(value).decode()[:512]}: field is immutable"
            found.append(Finding(code="immutable", message=text, field=field))
    return found
