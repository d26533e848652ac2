"""TokenRequest (`serviceaccounts/NAME/token`, as `kubectl create token`), TokenReview, and OpenID discovery.

Source: Kubernetes API reference, "TokenRequest", "TokenReview".
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import structlog
from starlette.requests import Request
from starlette.responses import Response

from tsujiban.controller.api import query
from tsujiban.controller.api.dispatch import CREATE, Call, Subresource, Virtual
from tsujiban.controller.api.errors import ApiError, bad_request, invalid
from tsujiban.controller.api.responses import json_response
from tsujiban.controller.api.reviews import AUTHENTICATION, answer, kind, read, user_info
from tsujiban.controller.api.tokens import (
    DEFAULT_SECONDS,
    MIN_SECONDS,
    Bound,
    TokenNotIssued,
    TokenService,
)
from tsujiban.controller.api.users import TokenRefused, User, authenticated
from tsujiban.resources.findings import Finding
from tsujiban.resources.kinds.authorization import TokenRequest, TokenRequestSpec, TokenReview

log = structlog.get_logger(__name__)

Handler = Callable[[Request, User], Awaitable[Response]]

CONFIGURATION_PATH, JWKS_PATH = "/.well-known/openid-configuration", "/openid/v1/jwks"
_MAX_SECONDS = 1 << 32
_MAX_AUDIENCES = 16


def entries(service: TokenService) -> list[Virtual | Subresource]:
    """What to register in the table."""
    api = _TokenApi(service)
    return [
        Virtual(kind=kind(AUTHENTICATION, "TokenReview"), handler=api.review),
        Subresource(
            group="",
            plural="serviceaccounts",
            name="token",
            verbs=CREATE,
            handler=api.request,
            kind="TokenRequest",
            api_version=f"{AUTHENTICATION}/v1",
        ),
    ]


class _TokenApi:
    def __init__(self, service: TokenService) -> None:
        self._service = service

    async def request(self, call: Call) -> Response:
        """POST to `serviceaccounts/NAME/token`."""
        asked = await read(call, TokenRequest)
        spec = asked.spec
        name = call.target.name
        seconds = DEFAULT_SECONDS if spec.expiration_seconds is None else spec.expiration_seconds
        _check(spec, name, seconds)
        if query.dry_run(call.request.query_params):
            raise bad_request("dryRun is not supported for tokens: a token that is not issued is none")
        reference = spec.bound_object_ref
        bound = Bound(reference.kind, reference.name, reference.uid) if reference else None
        try:
            issued = await self._service.issue(
                call.target.namespace,
                name,
                audiences=spec.audiences,
                seconds=seconds,
                bound=bound,
                node=call.user.node,
            )
        except TokenNotIssued as error:
            if call.user.node:
                raise ApiError(403, "Forbidden", f'serviceaccounts "{name}" is forbidden: {error}') from None
            raise ApiError(409, "Conflict", f'serviceaccounts "{name}": {error}') from None
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(issued.expires))
        return answer(call, asked, {"token": issued.token, "expirationTimestamp": expires})

    async def review(self, call: Call) -> Response:
        """POST of a TokenReview. What the token is, is not repeated in the answer."""
        asked = await read(call, TokenReview)
        if not asked.spec.token:
            raise bad_request("spec.token is required")
        try:
            found = await self._service.verify(asked.spec.token, asked.spec.audiences)
        except TokenRefused as error:
            log.info("token review: not valid", reason=str(error))
            return answer(call, asked, {"user": {}, "error": "invalid bearer token"}, spec=False)
        status = {
            "authenticated": True,
            "user": user_info(authenticated(found.user)),
            "audiences": list(found.audiences),
        }
        return answer(call, asked, status, spec=False)


def _check(spec: TokenRequestSpec, name: str, seconds: int) -> None:
    findings = []
    if seconds < MIN_SECONDS:
        text = "may not specify a duration less than 10 minutes"
        findings.append(Finding(code="out-of-range", message=text, field="spec.expirationSeconds"))
    if seconds > _MAX_SECONDS:
        text = "may not specify a duration larger than 2^32 seconds"
        findings.append(Finding(code="out-of-range", message=text, field="spec.expirationSeconds"))
    if len(spec.audiences) > _MAX_AUDIENCES or any(len(one) > 1024 for one in spec.audiences):
        text = f"at most {_MAX_AUDIENCES} audiences of 1024 characters"
        findings.append(Finding(code="too-many", message=text, field="spec.audiences"))
    if findings:
        raise invalid("TokenRequest", AUTHENTICATION, name, findings)


def paths(service: TokenService) -> dict[str, Handler]:
    """Plain paths to be guarded: how others verify our tokens."""

    async def configuration(_request: Request, _user: User) -> Response:
        return json_response(service.configuration())

    async def keys(_request: Request, _user: User) -> Response:
        response = json_response(await service.jwks())
        response.headers["content-type"] = "application/jwk-set+json"
        return response

    return {CONFIGURATION_PATH: configuration, JWKS_PATH: keys}
