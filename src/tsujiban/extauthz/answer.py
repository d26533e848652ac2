"""A judgement as Envoy takes it: yes, or 403 with an id; the rules are for the proxy's own log. Pure.

What a client is told of a refusal says nothing about policy. The dynamic metadata goes to the proxy
only: its access log can write `%DYNAMIC_METADATA(envoy.filters.http.ext_authz:rules)%`.
"""

from __future__ import annotations

from collections.abc import Iterable

from envoy.service.auth.v3 import external_auth_pb2

from tsujiban.policy.flow import Verdict
from tsujiban.policy.program import Action

PERMISSION_DENIED = 7  # google.rpc.Code
FORBIDDEN = 403


def allowed(request_id: str, verdict: Verdict) -> external_auth_pb2.CheckResponse:
    """Yes. Raises ValueError for a judgement that says no."""
    if verdict.verdict is not Action.ALLOW:
        raise ValueError("a denial is no yes")
    response = external_auth_pb2.CheckResponse()
    response.status.code = 0
    response.ok_response.SetInParent()
    _tell(response, request_id, Action.ALLOW, verdict.decided_by)
    return response


def denied(request_id: str, rules: Iterable[str]) -> external_auth_pb2.CheckResponse:
    """No."""
    response = external_auth_pb2.CheckResponse()
    response.status.code = PERMISSION_DENIED
    response.denied_response.status.code = FORBIDDEN
    response.denied_response.body = f"request denied by policy, id {request_id}\n"
    _tell(response, request_id, Action.DENY, rules)
    return response


def _tell(
    response: external_auth_pb2.CheckResponse, request_id: str, verdict: Action, rules: Iterable[str]
) -> None:
    fields = {"verdict": str(verdict), "rules": [*rules], "id": request_id}
    response.dynamic_metadata.update(fields)
