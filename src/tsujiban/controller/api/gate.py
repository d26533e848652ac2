"""The way of every request: who asks, as whom, may they, is it their turn, do it, and tell the audit log.

Nothing is parsed, looked up or answered for who is not authenticated; nothing is done for who may
not, and nobody waits in a queue who may not. Whatever goes wrong on that way leaves as a Status object with
the request's audit id.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import structlog
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tsujiban.controller.api import audit
from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.audit import Sink, Trail
from tsujiban.controller.api.authorize import Authorizer, refused
from tsujiban.controller.api.crowds import Crowds
from tsujiban.controller.api.errors import ApiError, TooManyConnections, from_store
from tsujiban.controller.api.handover import Ended, HandedOver
from tsujiban.controller.api.impersonate import impersonated
from tsujiban.controller.api.responses import refusal
from tsujiban.controller.api.scope import CLAIM
from tsujiban.controller.api.turns import Turns
from tsujiban.controller.api.users import Authenticator, NotAuthenticated, User
from tsujiban.store.protocol import StoreError

log = structlog.get_logger(__name__)

Act = Callable[[User], Awaitable[Response]]
Plan = Callable[[], tuple[Attributes, Act]]  # what is asked for, and how to do it; may raise ApiError

_TOLD_PER_MINUTE = 30  # failed authentications in the log; the audit log has its own bound


class Gate:
    """Authentication, impersonation, authorization, turns and audit of requests."""

    def __init__(
        self, authenticator: Authenticator, authorizer: Authorizer, sink: Sink = audit.nowhere
    ) -> None:
        self.turns = Turns()
        self.crowds = Crowds()
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._sink = sink
        self._minute, self._told = 0, 0

    async def answer(self, request: Request, plan: Plan) -> Response:
        """Answer a request."""
        trail = Trail(request, self._sink)
        request.state.trail = trail
        try:
            user = await self.who(request, trail)
            trail.wanted, act = plan()
            await self.require(user, trail.wanted, trail)
            async with self.turns.turn(user, trail.wanted):
                ended = self.crowds.enter(user, trail.wanted)
                try:
                    response = await act(user)
                except BaseException:
                    ended()
                    raise
        except (ApiError, StoreError) as error:
            return _refused(request, trail, error)
        except Exception:  # the application's handler answers and logs it
            trail.told(audit.RESPONSE_COMPLETE, 500, "InternalError")
            raise
        trail.created = created(request)
        response.headers[audit.ID_HEADER] = trail.id
        return _ToldTwice(response, trail, ended) if trail.wanted.long_running else _Told(response, trail)

    async def unproven(
        self, request: Request, wanted: Attributes, act: Callable[[Trail], Awaitable[Response]]
    ) -> Response:
        """Answer a request that proves itself by what it brings, and not by who sends it: no user, no rights,
        and told to the audit log as every other."""
        trail = Trail(request, self._sink)
        trail.wanted = wanted
        try:
            response = await act(trail)
        except (ApiError, StoreError) as error:
            return _refused(request, trail, error)
        except Exception:  # the application's handler answers and logs it
            trail.told(audit.RESPONSE_COMPLETE, 500, "InternalError")
            raise
        response.headers[audit.ID_HEADER] = trail.id
        return _Told(response, trail)

    async def who(self, request: HTTPConnection, trail: Trail) -> User:
        """The user, or the one impersonated.

        Raises:
            ApiError: 401, 403 for an impersonation that is not allowed, or 429 when the user has too many
                connections.
        """
        try:
            user = trail.user = await self._authenticator.user(request)
        except NotAuthenticated as error:
            self._tell(request, error)
            raise
        claim = request.scope.get("extensions", {}).get(CLAIM)
        if claim is not None:
            claim["claim"](user)
        other = await impersonated(request, user, self._allow)
        if other is None:
            return user
        trail.impersonated = other
        return other

    async def require(self, user: User, wanted: Attributes, trail: Trail) -> None:
        """Raises ApiError (403) unless the user may; the decision goes into the audit."""
        decision = await self._authorizer.decide(user, wanted)
        allowed = "allow" if decision.allowed else "forbid"
        trail.annotations["authorization.k8s.io/decision"] = allowed
        trail.annotations["authorization.k8s.io/reason"] = audit.bounded(decision.reason)
        if not decision.allowed:
            raise refused(user, wanted, decision.reason)

    async def _allow(self, user: User, wanted: Attributes) -> None:
        decision = await self._authorizer.decide(user, wanted)
        if not decision.allowed:
            raise refused(user, wanted, decision.reason)

    def _tell(self, request: HTTPConnection, error: NotAuthenticated) -> None:
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._told = minute, 0
        self._told += 1
        if self._told <= _TOLD_PER_MINUTE:
            peer = request.client.host if request.client else ""
            log.warning("not authenticated", peer=peer, reason=error.why)


def _refused(request: HTTPConnection, trail: Trail, error: ApiError | StoreError) -> Response:
    """The answer, told to the audit log."""
    told = from_store(error) if isinstance(error, StoreError) else error
    trail.created = trail.created or created(request)
    trail.told(audit.RESPONSE_COMPLETE, told.code, told.reason, told.message)
    response = refusal(told)
    response.headers[audit.ID_HEADER] = trail.id
    if isinstance(told, TooManyConnections):
        response.headers["connection"] = "close"
    return response


def created(request: HTTPConnection) -> str:
    """The name that a new object was given, as handlers leave it in `request.state.created`."""
    return str(getattr(request.state, "created", ""))


class _Told(Response):
    """A response that tells the audit log."""

    def __init__(self, inner: Response, trail: Trail) -> None:
        self._inner = inner
        self._trail = trail
        self.status_code = inner.status_code
        self.background = None
        self.body = getattr(inner, "body", b"")
        self.raw_headers = inner.raw_headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it (ASGI)."""
        self._trail.told(audit.RESPONSE_COMPLETE, self.status_code)
        await self._inner(scope, receive, send)


class _ToldTwice(_Told):
    """One that lasts: the audit log is told at both its ends, and `ended` is called."""

    def __init__(self, inner: Response, trail: Trail, ended: Ended) -> None:
        super().__init__(inner, trail)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it (ASGI)."""
        self._trail.told(audit.RESPONSE_STARTED, self.status_code)
        ends = (self._ended, self._trail.later(audit.RESPONSE_COMPLETE, self.status_code))
        scope["state"].pop("trail", None)  # which knows the request, which knows the scope
        if isinstance(self._inner, HandedOver):
            self._inner.ended.extend(ends)
            await self._inner(scope, receive, send)
            return
        try:
            await self._inner(scope, receive, send)
        finally:
            for tell in ends:
                tell()
