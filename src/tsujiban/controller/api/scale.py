"""The `scale` subresource: the one number that `kubectl scale` and autoscalers write, as autoscaling/v1
Scale.

It is a window on `spec.replicas`; whoever writes through it manages that field. Source: Kubernetes API
reference, Scale v1 autoscaling.
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tsujiban.controller.api import bodies, documents, patch, writes
from tsujiban.controller.api.dispatch import OBJECT_VERBS, Call, Subresource
from tsujiban.controller.api.errors import bad_request, invalid
from tsujiban.controller.api.responses import OBJECT_BYTES, json_response, parse_json, read_body
from tsujiban.controller.api.target import Target
from tsujiban.resources import schema
from tsujiban.resources.findings import Finding
from tsujiban.resources.kinds.meta import Object, Shape
from tsujiban.resources.selectorquery import as_query
from tsujiban.store.protocol import Stored

Json = dict[str, Any]

_SCALED = (
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
    ("", "replicationcontrollers"),
)
API_VERSION = "autoscaling/v1"


class ScaleSpec(Shape, frozen=True):
    """`replicas` is how many are wanted."""

    replicas: int = 0


class Scale(Object, frozen=True):
    """How many pods a workload has, and should have."""

    spec: ScaleSpec = ScaleSpec()
    status: Any = None


def entries() -> list[Subresource]:
    """The subresource of each kind that has one."""
    return [
        Subresource(
            group=group,
            plural=plural,
            name="scale",
            verbs=OBJECT_VERBS,
            handler=_scale,
            kind="Scale",
            api_version=API_VERSION,
        )
        for group, plural in _SCALED
    ]


async def _scale(call: Call) -> Response:
    store, target, request = call.store, call.target, call.request
    if call.verb == "get":
        return json_response(scale_of(documents.json_of(await store.get(target.key))))
    if call.verb == "update":
        body = await bodies.read_object(request, Scale)
        return await _changed(call, lambda _scale: body, documents.dig(body, "metadata", "resourceVersion"))
    media = bodies.media_type(request)
    if media == writes.APPLY:
        raise bad_request("scale is not applied: apply the object, or patch its scale")
    changes = parse_json(await read_body(request, OBJECT_BYTES))
    apply = writes.patch_of(media, changes, target)
    if media == writes.STRATEGIC:  # of the Scale, which has no lists
        return await _changed(call, lambda found: patch.strategic_merge(found, changes, schema.ANY), None)
    return await _changed(call, apply, None)


async def _changed(call: Call, change: writes.Change, version: Any) -> Response:
    expected = documents.revision(version) if version else None

    def made(present: Json) -> Json:
        wanted = _replicas(change(scale_of(present)), call.target)
        return {**present, "spec": {**present["spec"], "replicas": wanted}}

    def shown(stored: Stored, _target: Target, _request: Request) -> Response:
        return json_response(scale_of(documents.json_of(stored)))

    return await writes.change(call.store, call.target, call.request, made, expected, show=shown)


def scale_of(document: Json) -> Json:
    """A workload as its Scale."""
    head = document["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    replicas = documents.dig(document, "spec", "replicas")
    return {
        "apiVersion": API_VERSION,
        "kind": "Scale",
        "metadata": {name: head[name] for name in kept if name in head},
        "spec": {"replicas": 1 if replicas is None else replicas},
        "status": {
            "replicas": documents.dig(document, "status", "replicas") or 0,
            "selector": as_query(documents.dig(document, "spec", "selector") or {}),
        },
    }


def _replicas(scale: Any, target: Target) -> int:
    try:
        wanted = msgspec.convert(documents.without_nulls(scale), Scale)
    except msgspec.ValidationError as error:
        raise bad_request(f"Scale: {error}") from None
    if wanted.kind not in ("", "Scale") or wanted.metadata.name not in ("", target.name):
        raise bad_request(f"the body is not the Scale of {target.name}")
    if wanted.spec.replicas < 0:
        text = f"{wanted.spec.replicas}: must be greater than or equal to 0"
        finding = Finding(code="invalid-replicas", message=text, field="spec.replicas")
        raise invalid("Scale", "autoscaling", target.name, [finding])
    return wanted.spec.replicas
