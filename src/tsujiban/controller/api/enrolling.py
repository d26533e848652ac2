"""The paths by which another machine becomes a controller: a token for it, and what it gets for that.

A token is an administrator's to make: it takes the verb `enrol` on `controllers` of our own group, which no
built-in role has but `cluster-admin`, and a client certificate. A right can be taken back, and keys that are
known cannot: so neither a pod whose account has all rights, nor who speaks in another's name, makes one.
What a token buys is bought by the token alone: who comes with the identity of a node, a user or a pod is
somebody else, and gets nothing."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.audit import Trail, bounded
from tsujiban.controller.api.errors import ApiError, forbidden, too_many
from tsujiban.controller.api.extras import JOIN_BYTES, typed
from tsujiban.controller.api.gate import Act, Gate
from tsujiban.controller.api.responses import json_response, parse_json, read_body
from tsujiban.controller.api.scope import peer_certificate
from tsujiban.controller.api.users import User
from tsujiban.controller.enroller import Enroller, EnrolRefused
from tsujiban.controller.enrolment import (
    ENROL_PATH,
    GROUP,
    RESOURCE,
    TOKENS_PATH,
    VERB,
    EnrolRequest,
    TokenRequest,
)

_TOKEN = Attributes(verb=VERB, group=GROUP, version="v1", resource=RESOURCE, subresource="token")
_ENROL = Attributes(verb=VERB, group=GROUP, version="v1", resource=RESOURCE)
_TOKEN_ID = "tsujiban.io/token"  # noqa: S105 - of an audit event: which token it is about
MOST_AT_ONCE = 4  # requests of machines that nobody knows yet
_IN_PERSON = (
    "tokens for controllers are made, and withdrawn, with a client certificate and in one's own name:"
    " they give away the cluster's keys"
)
_ALONE = "the objects of this cluster are in SQLite, which one controller uses: several need `--store etcd`"


def routes(gate: Gate, enroller: Enroller | None) -> list[Route]:
    """Both paths. Without an enroller they say why not."""
    enrolling = 0  # of strangers, at this moment

    async def token(request: Request) -> Response:
        async def act(user: User) -> Response:
            trail: Trail = request.state.trail
            if peer_certificate(request) is None or trail.impersonated is not None:
                raise forbidden(_IN_PERSON)
            if request.method == "DELETE":
                return json_response({"withdrawn": await _there(enroller).withdraw(bounded(user.name))})
            wanted = typed(parse_json(await read_body(request, JOIN_BYTES)), TokenRequest)
            try:
                made = await _there(enroller).invite(bounded(user.name), wanted.seconds)
            except EnrolRefused as error:
                raise forbidden(str(error)) from None
            trail.annotations[_TOKEN_ID] = made.token.partition(".")[0]
            return json_response(made)

        def plan() -> tuple[Attributes, Act]:
            return _TOKEN, act

        return await gate.answer(request, plan)

    async def enrol(request: Request) -> Response:
        nonlocal enrolling

        async def act(trail: Trail) -> Response:
            if peer_certificate(request) is not None or "authorization" in request.headers:
                raise forbidden("a machine that joins has no identity yet: send the token, and nothing else")
            wanted = typed(parse_json(await read_body(request, JOIN_BYTES)), EnrolRequest)
            try:
                sealed, record = await _there(enroller).enrol(wanted)
            except EnrolRefused as error:
                trail.annotations[_TOKEN_ID] = bounded(error.token)
                raise forbidden(str(error)) from None
            trail.annotations[_TOKEN_ID] = record.id
            trail.annotations["tsujiban.io/invited-by"] = bounded(record.by)
            return json_response(sealed)

        async def busy(_trail: Trail) -> Response:
            raise too_many("other machines are enrolling; try again")

        if enrolling >= MOST_AT_ONCE:
            return await gate.unproven(request, _ENROL, busy)
        enrolling += 1
        try:
            return await gate.unproven(request, _ENROL, act)
        finally:
            enrolling -= 1

    return [
        Route(TOKENS_PATH, token, methods=["POST", "DELETE"]),
        Route(ENROL_PATH, enrol, methods=["POST"]),
    ]


def _there(enroller: Enroller | None) -> Enroller:
    if enroller is None:
        raise ApiError(409, "Conflict", _ALONE)
    return enroller
