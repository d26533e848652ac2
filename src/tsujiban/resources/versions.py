"""Fields that have another name in another version of a kind.

A kind is stored in one version and shown in the one that is asked for. In nearly all they are alike; an Event
of events.k8s.io is a core Event in other words. Pure. Source: Kubernetes API reference,
"Event v1 events.k8s.io".
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

# apiVersion -> {name as stored: name there}, of the top level
RENAMED: dict[str, dict[str, str]] = {
    "events.k8s.io/v1": {
        "involvedObject": "regarding",
        "message": "note",
        "reportingComponent": "reportingController",
        "source": "deprecatedSource",
        "firstTimestamp": "deprecatedFirstTimestamp",
        "lastTimestamp": "deprecatedLastTimestamp",
        "count": "deprecatedCount",
    },
}


def shown(document: Json, api_version: str) -> Json:
    """A stored object in one of its versions."""
    return {**renamed(document, api_version), "apiVersion": api_version}


def renamed(fields: Json, api_version: str) -> Json:
    """Fields by the names that they have in a version."""
    names = RENAMED.get(api_version)
    return fields if names is None else {names.get(name, name): value for name, value in fields.items()}


def stored(document: Json, api_version: str) -> Json:
    """An object of a version with its fields as they are stored; its apiVersion is left."""
    names = RENAMED.get(api_version)
    if names is None:
        return document
    back = {there: name for name, there in names.items()}
    return {back.get(name, name): value for name, value in document.items()}
