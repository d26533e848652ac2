"""The `eviction` subresource of pods: a deletion that asks first, which is what `kubectl drain` does.

It asks the pod's PodDisruptionBudget (`budgets.py`); what that does not permit now is a 429, and `kubectl
drain` tries again. Source: Kubernetes documentation, "API-initiated Eviction".
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from tsujiban.controller.api import bodies, budgets, deletion, documents
from tsujiban.controller.api.dispatch import CREATE, Call, Subresource
from tsujiban.controller.api.documents import without_nulls
from tsujiban.controller.api.errors import ApiError, bad_request, conflict
from tsujiban.controller.api.responses import json_response
from tsujiban.controller.api.target import Target
from tsujiban.resources.kinds.meta import Object

API_VERSION = "policy/v1"
CONFLICT = 409
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
        ApiError: 400, 404, 409, 422, as for a deletion; 429 while the pod's budget does not permit it.
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
    target = msgspec.structs.replace(call.target, subresource="")
    await _end(call, target, wanted)
    return json_response(
        {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201
    )


async def _end(call: Call, target: Target, wanted: deletion.Options) -> None:
    """Delete the pod, if its budget lets it go. Raises ApiError."""
    for _ in range(deletion.ATTEMPTS):
        stored = await call.store.get(target.key)
        deletion.check(stored, target, wanted)  # before anything is taken from the budget
        pod, options = documents.json_of(stored), wanted
        as_it_is = not budgets.is_free(pod) and await budgets.ask(call.store, pod, dry_run=wanted.dry_run)
        if as_it_is:
            options = msgspec.structs.replace(wanted, revision=stored.revision)
        try:
            await deletion.delete_with(call.store, target, call.request, options)
        except ApiError as error:
            if not as_it_is or error.code != CONFLICT:
                raise
            continue  # it has changed; it may be ready now
        return
    raise conflict(target.qualified, target.name, "it changes all the time; try again")
