"""CertificateSigningRequest: signed when approved, taken away when old. Pure but for the signer.

Two signers are ours; requests for others wait for their own. Times are those of Kubernetes'
csr-cleaner.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from tsujiban.controller.reconcile.actions import Action, Delete, Update
from tsujiban.controller.world import CERTIFICATE_REQUESTS, Json, Ref, World

HOUR = 3600.0
PENDING_LIFETIME = 24 * HOUR  # of a request that nobody decides about
DECIDED_LIFETIME = HOUR  # of one that is signed, denied or failed

# the certificate of a request's spec, base64 of PEM; None: not ours to sign; raises SigningImpossible
Sign = Callable[[Json], str | None]


class SigningImpossible(Exception):
    """The request will never be signed; the text says why."""


def plan(world: World, ref: Ref, sign: Sign) -> list[Action]:
    """Sign an approved request, or say that it failed."""
    request = world.get(ref)
    if request is None:
        return []
    status = request.get("status") or {}
    kinds = _kinds(request)
    if "Approved" not in kinds or kinds & {"Denied", "Failed"} or status.get("certificate"):
        return []
    try:
        certificate = sign(request["spec"])
    except SigningImpossible as error:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        failed = {
            "type": "Failed",
            "status": "True",
            "reason": "SignerValidationFailure",
            "message": str(error)[:1024],
            "lastUpdateTime": now,
            "lastTransitionTime": now,
        }
        conditions = [*status["conditions"], failed]
        return [Update(ref, {**request, "status": {**status, "conditions": conditions}})]
    if certificate is None:
        return []
    return [Update(ref, {**request, "status": {**status, "certificate": certificate}})]


def expired(world: World, ref: Ref, now: float) -> list[Action]:
    """Delete a request that is of no use any more at `now` (UNIX seconds)."""
    request = world.get(ref)
    if request is None:
        return []
    times = [_seconds(request["metadata"].get("creationTimestamp", ""))]
    times += [_seconds(condition.get("lastUpdateTime") or "") for condition in _conditions(request)]
    waits = _kinds(request) <= {"Approved"} and not (request.get("status") or {}).get("certificate")
    return [Delete(ref)] if now - max(times) > (PENDING_LIFETIME if waits else DECIDED_LIFETIME) else []


def all_requests(world: World) -> list[Ref]:
    """Every request."""
    return [ref for ref, _ in world.all(CERTIFICATE_REQUESTS)]


def _conditions(request: Json) -> list[Json]:
    return list((request.get("status") or {}).get("conditions") or ())


def _kinds(request: Json) -> set[str]:
    return {condition["type"] for condition in _conditions(request)}


def _seconds(timestamp: str) -> float:
    try:
        return datetime.fromisoformat(timestamp).astimezone(UTC).timestamp()
    except ValueError:
        return 0.0
