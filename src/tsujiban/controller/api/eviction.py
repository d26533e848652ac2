"""The `eviction` subresource of pods: a deletion that asks first, which is what `kubectl drain` does.

What a PodDisruptionBudget does not permit now, a real server refuses with 429 and the cause
`DisruptionBudget`, and `kubectl drain` tries again. There are no such budgets here, so nothing is refused
this way; who may not `create pods/eviction` is. Source: Kubernetes documentation, "API-initiated Eviction".
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from tsujiban.controller.api import bodies, deletion
from tsujiban.controller.api.dispatch import CREATE, Call, Subresource
from tsujiban.controller.api.documents import without_nulls
from tsujiban.controller.api.errors import bad_request
from tsujiban.controller.api.responses import json_response
from tsujiban.resources.kinds.meta import Object

API_VERSION = "policy/v1"
_VERSIONS = (API_VERSION, "policy/v1beta1")


class Eviction(Object, frozen=True):
    """What to end, and how."""

    delete_options: Any = None


def entries() -> list[Subresource]:
    """What to register in the table."""
    return [
        Subresource(
            group="",
            plural="pods",
            name="eviction",
            verbs=CREATE,
            handler=evict,
            kind="Eviction",
            api_version=API_VERSION,
        )
    ]


async def evict(call: Call) -> Response:
    """POST: the pod ends gracefully, or is gone.

    Raises:
        ApiError: 400, 404, 409, 422, as for a deletion.
    """
    body = without_nulls(await bodies.read_object(call.request, Eviction))
    known = isinstance(body, dict) and body.get("kind", "Eviction") == "Eviction"
    if not known or body.get("apiVersion", API_VERSION) not in _VERSIONS:
        raise bad_request("the body is not an Eviction of policy/v1")
    metadata, options = body.get("metadata") or {}, body.get("deleteOptions") or {}
    if not isinstance(metadata, dict) or not isinstance(options, dict):
        raise bad_request("metadata and deleteOptions of an Eviction are objects")
    for field, expected in (("name", call.target.name), ("namespace", call.target.namespace)):
        if metadata.get(field, expected) != expected:
            raise bad_request(f"{field} in the body must be that of the path, {expected!r}")
    wanted = deletion.options_of(options, call.request.query_params)
    await deletion.delete_with(
        call.store, msgspec.structs.replace(call.target, subresource=""), call.request, wanted
    )
    return json_response(
        {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201
    )
