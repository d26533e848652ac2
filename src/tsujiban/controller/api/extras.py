"""Tsujiban's own paths beside Kubernetes': status, flows, joining, applying a set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from tsujiban.controller.api import query
from tsujiban.controller.api.apply import ApplyRequest, apply
from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.errors import bad_request, forbidden
from tsujiban.controller.api.responses import APPLY_BYTES, Lines, json_response, parse_json, read_body
from tsujiban.controller.api.users import User
from tsujiban.controller.join import JoinRefused
from tsujiban.flows.record import FlowRecord
from tsujiban.flows.ring import FlowFilter, FlowRing
from tsujiban.resources.registry import kind_for
from tsujiban.store.protocol import Store
from tsujiban.wire.join import JoinRequest, JoinResponse

T = TypeVar("T", bound=msgspec.Struct)

JOIN_BYTES = 64 * 1024
_FLOW_BATCH = 1000


Status = Callable[[], Awaitable[Any]]  # anything msgspec encodes


class Joins(Protocol):
    """What joining needs: `JoinService` is one."""

    @property
    def bundle_pem(self) -> str:
        """The trust bundle."""

    async def join(self, request: JoinRequest) -> JoinResponse:
        """Sign, or raise JoinRefused."""


async def join(service: Joins, request: Request) -> Response:
    """POST: a token buys a node certificate. The only write that needs no client certificate."""
    wanted = typed(parse_json(await read_body(request, JOIN_BYTES)), JoinRequest)
    try:
        return json_response(await service.join(wanted))
    except JoinRefused as error:
        raise forbidden(error.reason) from None


def bundle(service: Joins) -> Response:
    """GET: the trust bundle, which is public."""
    return PlainTextResponse(service.bundle_pem, media_type="application/x-pem-file")


async def apply_set(store: Store, request: Request, user: User) -> Response:
    """POST: all of a set of objects, or none; a line in the audit log for each that was written."""
    body = parse_json(await read_body(request, APPLY_BYTES))
    applied = await apply(store, typed(body, ApplyRequest))
    for result in applied.results:
        if result.action != "unchanged" and not applied.dry_run:
            kind = kind_for(result.api_version, result.kind)
            wanted = Attributes(
                verb="create" if result.action == "created" else "patch",
                group=kind.group,
                version=kind.version,
                resource=kind.plural,
                namespace=result.namespace,
                name=result.name,
            )
            request.state.trail.object_told(wanted, result.action)
    return json_response(applied)


def flows(ring: FlowRing[Any], request: Request) -> Response:
    """GET: flow records as JSON lines, oldest first; `follow` goes on with new ones."""
    parameters = request.query_params
    clauses = {name: parameters.get(name, "") for name in FlowFilter.__struct_fields__}
    wanted = FlowFilter(**clauses)
    since = query.number(parameters, "since") or 0
    limit = query.number(parameters, "limit")
    follow = query.flag(parameters, "follow")
    return Lines(_flow_lines(ring, wanted, since, limit, follow=follow), "application/jsonl")


async def _flow_lines(
    ring: FlowRing[Any], wanted: FlowFilter, since: int, limit: int | None, *, follow: bool
) -> AsyncIterator[bytes]:
    while True:
        last = ring.last
        found = ring.query(since, wanted, limit)
        for start in range(0, len(found), _FLOW_BATCH):
            yield b"".join(_flow_line(n.sequence, n.flow) for n in found[start : start + _FLOW_BATCH])
            await asyncio.sleep(0)  # a long history must not hold up the others
        if not follow:
            return
        since, limit = last, None
        await ring.wait(since)


def _flow_line(sequence: int, flow: FlowRecord) -> bytes:
    return msgspec.json.encode({"sequence": sequence, **msgspec.to_builtins(flow)}) + b"\n"


def typed(body: Any, to: type[T]) -> T:
    """What a body says. Raises ApiError (400) for what it should not."""
    try:
        return msgspec.convert(body, to)
    except msgspec.ValidationError as error:
        raise bad_request(f"the body: {error}") from None
