"""What the server makes of a new object's identity: the selector and labels by which a Job knows its pods.

No manager of fields owns them, so a later apply leaves them alone. Source: Kubernetes documentation, "Jobs",
"Specifying your own Pod selector"; API reference, `manualSelector`.
"""

from __future__ import annotations

import uuid
from typing import Any

from tsujiban.resources.registry import Kind

Json = dict[str, Any]

PREFIX = "batch.kubernetes.io/"


def identified(document: Json, kind: Kind) -> tuple[Json, str]:
    """The object as it is created, and the uid that it must then have; "" for any."""
    if (kind.group, kind.plural) != ("batch", "jobs"):
        return document, ""
    uid = str(uuid.uuid4())
    return job(document, uid), uid


def job(document: Json, uid: str) -> Json:
    """A Job with its selector, unless it brings its own."""
    spec = document["spec"]
    if spec.get("manualSelector"):
        return document
    name = document["metadata"]["name"]
    marks = {"controller-uid": uid, "job-name": name[:63].rstrip("-_.")}
    marks = {f"{prefix}{key}": text for prefix in (PREFIX, "") for key, text in marks.items()}
    template, selector = spec["template"], spec.get("selector") or {}
    head = template.get("metadata") or {}
    labels = {**(head.get("labels") or {}), **marks}
    chosen = {**(selector.get("matchLabels") or {}), f"{PREFIX}controller-uid": uid}
    made = {
        **spec,
        "selector": {**selector, "matchLabels": chosen},
        "template": {**template, "metadata": {**head, "labels": labels}},
    }
    own = document["metadata"]
    if not own.get("labels"):
        own = {**own, "labels": labels}
    return {**document, "metadata": own, "spec": made}
