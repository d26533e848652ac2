"""The paths by which another machine becomes a controller: a token for it, and what it gets for that.

A token is an administrator's to make: it takes the verb `enrol` on `controllers` of our own group, which no
built-in role has but `cluster-admin`. What a token buys is bought by the token alone: who comes with the
identity of a node, a user or a pod is somebody else, and gets nothing."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.audit import Trail, bounded
from tsujiban.controller.api.errors import ApiError, forbidden
from tsujiban.controller.api.extras import JOIN_BYTES, typed
from tsujiban.controller.api.gate import Act, Gate
from tsujiban.controller.api.responses import json_response, parse_json, read_body
from tsujiban.controller.api.scope import PEER_CERTIFICATE
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
_ALONE = "the objects of this cluster are in SQLite, which one controller uses: several need `--store etcd`"


def routes(gate: Gate, enroller: Enroller | None) -> list[Route]:
    """Both paths. Without an enroller they say why not."""

    async def token(request: Request) -> Response:
        async def act(user: User) -> Response:
            wanted = typed(parse_json(await read_body(request, JOIN_BYTES)), TokenRequest)
            try:
                return json_response(await _there(enroller).invite(bounded(user.name), wanted.seconds))
            except EnrolRefused as error:
                raise forbidden(str(error)) from None

        def plan() -> tuple[Attributes, Act]:
            return _TOKEN, act

        return await gate.answer(request, plan)

    async def enrol(request: Request) -> Response:
        async def act(trail: Trail) -> Response:
            certificate = request.scope.get("extensions", {}).get(PEER_CERTIFICATE)
            if certificate is not None or "authorization" in request.headers:
                raise forbidden("a machine that joins has no identity yet: send the token, and nothing else")
            wanted = typed(parse_json(await read_body(request, JOIN_BYTES)), EnrolRequest)
            try:
                sealed, record = await _there(enroller).enrol(wanted)
            except EnrolRefused as error:
                trail.annotations["tsujiban.io/token"] = bounded(error.token)
                raise forbidden(str(error)) from None
            trail.annotations["tsujiban.io/token"] = record.id
            trail.annotations["tsujiban.io/invited-by"] = bounded(record.by)
            return json_response(sealed)

        return await gate.unproven(request, _ENROL, act)

    return [
        Route(TOKENS_PATH, token, methods=["POST"]),
        Route(ENROL_PATH, enrol, methods=["POST"]),
    ]


def _there(enroller: Enroller | None) -> Enroller:
    if enroller is None:
        raise ApiError(409, "Conflict", _ALONE)
    return enroller
