"""CertificateSigningRequests as they are written: who asks is set by the server, who approves needs the
right for that signer, and nobody changes what was asked or decided.

Source: Kubernetes documentation, "Certificates and Certificate Signing Requests".
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
from starlette.responses import Response

from tsujiban.controller.api import collection, writes
from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.authorize import Authorizer
from tsujiban.controller.api.cells import dig, items
from tsujiban.controller.api.dispatch import OBJECT_VERBS, Call, Subresource
from tsujiban.controller.api.errors import ApiError, invalid
from tsujiban.controller.api.guard import Review
from tsujiban.resources.findings import Finding
from tsujiban.resources.kinds.certificates import GROUP

Json = dict[str, Any]

PLURAL = "certificatesigningrequests"
DECISIONS = frozenset({"Approved", "Denied"})
_KIND = "CertificateSigningRequest"


def entries() -> list[Subresource]:
    """What to register in the table."""
    return [Subresource(group=GROUP, plural=PLURAL, name="approval", verbs=OBJECT_VERBS, handler=_approval)]


async def _approval(call: Call) -> Response:
    """A decision is written like a status; `Requests.review` sees that it is one, and nothing else."""
    act = {"get": collection.get, "update": writes.update, "patch": writes.patched}[call.verb]
    return await act(call.store, msgspec.structs.replace(call.target, subresource="status"), call.request)


class Requests:
    """Reviews writes of requests."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def review(self, review: Review) -> Json | None:
        """What is to be written. Raises ApiError (403, 422)."""
        new, old = review.new, review.old
        if new is None:
            return None
        if old is None:
            return _asked_by(review, new)
        if new.get("spec") != old.get("spec"):
            raise _invalid(review, "spec", "updates to the spec are forbidden")
        before, after = _conditions(old), _conditions(new)
        for kind in DECISIONS | {"Failed"}:
            if kind in before and before[kind] != after.get(kind):
                raise _invalid(
                    review, "status.conditions", f"the {kind} condition cannot be changed or removed"
                )
        certificate = dig(old, "status.certificate")
        changed = certificate != dig(new, "status.certificate")
        if certificate and changed:
            raise _invalid(review, "status.certificate", "updates may not change it")
        added = after.keys() - before.keys()
        if review.wanted.subresource == "approval":
            if changed or added - DECISIONS:
                raise _invalid(review, "status", "an approval adds the condition Approved or Denied only")
            verb = "approve"
        else:
            if added & DECISIONS:
                raise _invalid(review, "status.conditions", "decisions are written to /approval only")
            verb = "sign"
        if changed or added:
            await self._require(review, verb, str(dig(old, "spec.signerName") or ""))
        return _dated(new, added)

    async def _require(self, review: Review, verb: str, signer: str) -> None:
        """The verb on the signer, or on all signers of its domain (`DOMAIN/*`)."""
        for name in (signer, f"{signer.partition('/')[0]}/*"):
            wanted = Attributes(verb=verb, group=GROUP, version="v1", resource="signers", name=name)
            if (await self._authorizer.decide(review.user, wanted)).allowed:
                return
        raise ApiError(
            403,
            "Forbidden",
            f'{PLURAL}.{GROUP} "{review.key.name}" is forbidden: user not permitted to {verb} requests with '
            f'signerName "{signer}"',
            {"name": review.key.name, "group": GROUP, "kind": PLURAL},
        )


def _asked_by(review: Review, new: Json) -> Json:
    """Who asks is who is authenticated, whatever the request says."""
    user = review.user
    spec = {k: v for k, v in new["spec"].items() if k not in ("username", "uid", "groups", "extra")}
    spec |= {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        spec["uid"] = user.uid
    if user.extra:
        spec["extra"] = {key: list(values) for key, values in user.extra}
    return {**{k: v for k, v in new.items() if k != "status"}, "spec": spec}


def _conditions(document: Json) -> dict[str, Json]:
    """By type. What is stored may be older than the rules by which it is judged now."""
    return {str(condition.get("type")): condition for condition in items(document, "status.conditions")}


def _dated(new: Json, added: set[str]) -> Json | None:
    """New conditions with the times that the server sets."""
    if not added:
        return None
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    listed = [
        {"status": "True", **condition, "lastUpdateTime": now, "lastTransitionTime": now}
        if isinstance(condition, dict) and condition.get("type") in added
        else condition
        for condition in new["status"]["conditions"]
    ]
    return {**new, "status": {**new["status"], "conditions": listed}}


def _invalid(review: Review, field: str, message: str) -> ApiError:
    return invalid(_KIND, GROUP, review.key.name, [Finding(code="immutable", message=message, field=field)])
