"""The API server as an ASGI application; `server` serves it.

Every request goes one way, through `gate.py`; here is what each path asks for and who does it.
"""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

import tsujiban
from tsujiban.controller.api import (
    aggregated,
    collection,
    deletion,
    discovery,
    enrolling,
    eviction,
    extras,
    health,
    metrics,
    openapi,
    scale,
    selection,
    target,
    validation,
    writes,
)
from tsujiban.controller.api.access import Access
from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.audit import Sink, nowhere
from tsujiban.controller.api.authorize import OnlyMasters
from tsujiban.controller.api.dispatch import Call, Table
from tsujiban.controller.api.errors import (
    ApiError,
    bad_request,
    from_store,
    method_not_allowed,
    path_not_found,
)
from tsujiban.controller.api.gate import Act, Gate
from tsujiban.controller.api.places import Places
from tsujiban.controller.api.query import flag
from tsujiban.controller.api.responses import json_response, refusal
from tsujiban.controller.api.target import Target
from tsujiban.controller.api.users import Authenticator, TokenReview, User, no_tokens
from tsujiban.controller.enroller import Enroller
from tsujiban.controller.revocations import Revocations
from tsujiban.flows.ring import FlowRing
from tsujiban.store.protocol import Store, StoreError
from tsujiban.wire.join import BUNDLE_PATH, JOIN_PATH

log = structlog.get_logger(__name__)

Handler = Callable[[Request, User], Awaitable[Response]]
View = Callable[[User, Attributes], Store]  # the store as a request may use it


def create_app(
    store: Store,
    *,
    trust_domain: str,
    join: extras.Joins,
    status: extras.Status,
    flows: FlowRing[Any],
    tokens: TokenReview = no_tokens,
    access: Access | None = None,
    audit_sink: Sink = nowhere,
    table: Table | None = None,
    paths: Mapping[str, Handler] | None = None,
    revocations: Revocations | None = None,
    enroller: Enroller | None = None,
) -> Starlette:
    """The application. `trust_domain` is that of node certificates; `tokens` knows bearer tokens; without
    `access` only administrators may do anything; `table` holds the subresources and virtual kinds that are
    served, `paths` more plain paths to read, `revocations` whose certificates are not taken, `enroller` makes
    other machines controllers, where there can be several."""
    gate = Gate(Authenticator(trust_domain, tokens, revocations), access or OnlyMasters(), audit_sink)
    places = Places()
    table = table or Table()
    table.add(*scale.entries(), *eviction.entries())

    def view(user: User, wanted: Attributes) -> Store:
        return store if access is None else access.view(user, wanted)

    api = _Api(gate, view, table)

    async def joining(request: Request) -> Response:
        return await extras.join(join, request)

    async def bundle(_request: Request) -> Response:
        return extras.bundle(join)

    async def show_status(_request: Request, _user: User) -> Response:
        return json_response(await status())

    async def show_flows(request: Request, _user: User) -> Response:
        return extras.flows(flows, request)

    async def show_metrics(_request: Request, _user: User) -> Response:
        return metrics.answer(gate.turns, gate.crowds, places)

    async def apply(request: Request, user: User) -> Response:
        wanted = Attributes(verb="apply", path=request.scope["path"])
        return await extras.apply_set(view(user, wanted), request, user)

    routes = [
        Route("/api/{path:path}", _Plainly(api.resource)),  # first: nearly all requests are these
        Route("/apis/{path:path}", _Plainly(api.resource)),
        *_health(api, health.checks(store, lambda: access is None or access.mirror.ready.is_set())),
        Route(JOIN_PATH, joining, methods=["POST"]),
        Route(BUNDLE_PATH, bundle, methods=["GET"]),
        *enrolling.routes(gate, enroller),
        *(Route(path, api.guarded(_version), methods=["GET"]) for path in ("/version", "/version/")),
        *(Route(path, api.guarded(handler), methods=["GET"]) for path, handler in _openapi(table).items()),
        Route("/metrics", api.guarded(show_metrics), methods=["GET"]),
        Route("/tsujiban/v1/status", api.guarded(show_status), methods=["GET"]),
        Route("/tsujiban/v1/flows", api.guarded(show_flows, follow="follow"), methods=["GET"]),
        *(Route(path, api.guarded(handler), methods=["GET"]) for path, handler in (paths or {}).items()),
        Route("/tsujiban/v1/apply", api.guarded(apply, "apply"), methods=["POST"]),
        Route("/{path:path}", api.resource, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    ]
    app = Starlette(routes=routes, exception_handlers=_HANDLERS)
    app.state.places = places
    return app


class _Plainly:
    """A handler without what a Route puts around it a second time: errors are the application's to answer."""

    def __init__(self, handler: Callable[[Request], Awaitable[Response]]) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer (ASGI)."""
        response = await self._handler(Request(scope, receive, send))
        await response(scope, receive, send)


class _Api:
    """What each path asks for, and what is done when it may be."""

    def __init__(self, gate: Gate, view: View, table: Table) -> None:
        self._gate = gate
        self._view = view
        self._table = table

    def guarded(
        self, handler: Handler, verb: str = "get", *, follow: str = ""
    ) -> Callable[[Request], Awaitable[Response]]:
        """A plain path, behind authentication and authorization. `follow` is the parameter that has the
        answer go on."""

        async def endpoint(request: Request) -> Response:
            # the path that was routed, not `request.url`, into which the client's Host header goes
            path = request.scope["path"]

            def plan() -> tuple[Attributes, Act]:
                followed = bool(follow) and flag(request.query_params, follow)
                wanted = Attributes(verb=verb, path=path, followed=followed)
                return wanted, lambda user: handler(request, user)

            return await self._gate.answer(request, plan)

        return endpoint

    async def resource(self, request: Request) -> Response:
        """Discovery and everything about objects."""
        return await self._gate.answer(request, lambda: self._plan(request))

    def _plan(self, request: Request) -> tuple[Attributes, Act]:
        segments = target.split(request.scope["raw_path"])
        if segments[0] not in ("api", "apis"):
            return _plain(request), _nothing
        depth = 2 if segments[0] == "api" else 3
        if len(segments) <= depth or segments == discovery.CUSTOM_RESOURCES:
            return _plain(request), lambda _user: _discovery(segments, request, self._table)
        found = target.parse(segments, self._table.kind)
        beside = self._table.find(found, request.method)
        verb = beside[0] if beside is not None else _verb(request, found)
        wanted = attributes(verb, found, request)

        async def act(user: User) -> Response:
            store = self._view(user, wanted)
            if beside is None and verb == "watch":
                response = await collection.watch(store, found, request)
            elif beside is None:
                response = await _ACTIONS[verb](store, found, request)
            else:
                call = Call(store=store, target=found, request=request, user=user, verb=verb)
                response = await beside[1](call)
            for text in getattr(request.state, "warnings", ()):
                response.headers.append("Warning", validation.header(text))
            return response

        return wanted, act


def attributes(verb: str, found: Target, request: HTTPConnection) -> Attributes:
    """What a request for a resource asks for. A list or watch of one name is about that object; a Namespace
    is in itself, as in Kubernetes, so that a RoleBinding in it can reach it. The group is
    the path's: what is served in two groups takes a right in the one that is asked."""
    itself = found.name if (found.kind.group, found.kind.plural) == ("", "namespaces") else ""
    group, _, version = found.api_version.rpartition("/")
    selector = request.query_params.get("fieldSelector", "") if verb in ("list", "watch") else ""
    return Attributes(
        verb=verb,
        group=group,
        version=version,
        resource=found.kind.plural,
        subresource=found.subresource,
        namespace=found.namespace or itself,
        name=found.name or selection.demanded(selector, "metadata.name"),
        node=selection.demanded(selector, "spec.nodeName"),
    )


_ACTIONS: dict[str, Callable[[Store, Target, Request], Awaitable[Response]]] = {
    "get": collection.get,
    "list": collection.listed,
    "create": writes.create,
    "update": writes.update,
    "patch": writes.patched,
    "delete": deletion.delete,
    "deletecollection": deletion.delete_all,
}
_OBJECT_VERBS = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_COLLECTION_VERBS = {"POST": "create", "DELETE": "deletecollection"}


def _verb(request: Request, found: Target) -> str:
    method = request.method
    if found.name:
        verb = _OBJECT_VERBS.get(method)
    elif method in ("GET", "HEAD"):  # of a watch there is no head without the rest
        return "watch" if method == "GET" and flag(request.query_params, "watch") else "list"
    else:
        verb = _COLLECTION_VERBS.get(method)
    if verb is None:
        raise method_not_allowed(method)
    return verb


def _plain(request: Request) -> Attributes:
    return Attributes(
        verb="get" if request.method in ("GET", "HEAD") else request.method.lower(),
        path=request.scope["path"],
    )


async def _discovery(segments: list[str], request: Request, table: Table) -> Response:
    if request.method != "GET":
        raise method_not_allowed(request.method)
    if segments == discovery.CUSTOM_RESOURCES:
        if request.query_params.get("watch") in ("1", "true"):
            raise path_not_found()  # a list is no watch's answer
        return json_response(discovery.custom_resources())
    version = aggregated.wanted(request.headers.get("accept", ""))
    if version and len(segments) == 1:
        return aggregated.answer(request, table, version, core=segments[0] == "api")
    if segments[0] == "api":
        found = (
            discovery.resources("", segments[1], table) if len(segments) == 2 else discovery.core_versions()
        )
    elif len(segments) == 1:
        found = discovery.groups(table)
    elif len(segments) == 2:
        found = discovery.group(segments[1], table)
    else:
        found = discovery.resources(segments[1], segments[2], table)
    return json_response(found)


async def _nothing(_user: User) -> Response:
    raise path_not_found()


def _openapi(table: Table) -> dict[str, Handler]:
    documents = openapi.Documents(table)

    async def v2(request: Request, _user: User) -> Response:
        return documents.v2(request)

    async def index(request: Request, _user: User) -> Response:
        return documents.index(request)

    async def v3(request: Request, _user: User) -> Response:
        return documents.v3(request)

    return {"/openapi/v2": v2, "/openapi/v3": index, "/openapi/v3/{version:path}": v3}


def _health(api: _Api, paths: Sequence[health.Checks]) -> Iterator[Route]:
    """A path that anybody may ask, and one for each of its checks, which takes a right."""
    for found in paths:

        async def one(request: Request, _user: User, found: health.Checks = found) -> Response:
            return await found.one(request)

        yield Route(found.path, found.answer, methods=["GET"])
        yield Route(f"{found.path}/{{check}}", api.guarded(one), methods=["GET"])


async def _version(_request: Request, _user: User) -> Response:
    return json_response(
        {
            "major": "1",
            "minor": "35",  # of the Kubernetes API whose behaviour this follows, as its kubectl judges it
            "gitVersion": f"v1.35.0+tsujiban-{tsujiban.__version__}",
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "",
            "compiler": platform.python_implementation(),
            "platform": f"{platform.system().lower()}/{platform.machine()}",
        }
    )


async def _on_api_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    return refusal(error)


async def _on_store_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, StoreError):
        raise error
    return refusal(from_store(error))


async def _on_http_error(request: Request, error: Exception) -> Response:
    code = error.status_code if isinstance(error, HTTPException) else 500
    return refusal(method_not_allowed(request.method) if code == 405 else path_not_found())


async def _on_recursion(_request: Request, _error: Exception) -> Response:
    return refusal(bad_request("the object is nested too deep"))


async def _on_anything(request: Request, error: Exception) -> Response:
    log.error("internal error", method=request.method, path=request.url.path, error=repr(error))
    return refusal(ApiError(500, "InternalError", "an internal error occurred; see the controller's log"))


_HANDLERS: dict[Any, Any] = {
    ApiError: _on_api_error,
    StoreError: _on_store_error,
    HTTPException: _on_http_error,
    RecursionError: _on_recursion,
    Exception: _on_anything,
}
