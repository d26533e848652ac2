"""Requests that go on (WebSockets, streams, long answers), so that a change of policy can end them.

A request is judged once, when it begins. Envoy reports one that becomes a WebSocket at once, and every one
that is there every five seconds, so a restarted agent learns of it, too. In HTTP/1 it has a connection to the
application to itself, and that is ended. In HTTP/2 others' requests may share that one: the client's own
connection is ended.

What a record tells of a request is its method, path and host, and until when its token is good; from then
on it has none. Where a rule asks for more (headers, claims), the request goes on if it could be allowed.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

import msgspec

from tsujiban.proxy import names
from tsujiban.proxy.accesslog import ProxyEvent
from tsujiban.proxy.connections import Connection, told
from tsujiban.proxy.decisions import (
    AllOf,
    AnyOf,
    Claim,
    Decision,
    Leaf,
    Not,
    Predicate,
    SourcePort,
    Text,
    holds_for_port,
)
from tsujiban.proxy.table import Table

FORGET_SECONDS = 30.0  # without a word of it: six of Envoy's reports
# Envoy's expressions take time in proportion to what they read, Python's may take its square: of a longer
# path nothing is known but that it was allowed, and a change of the rules that looked at it ends it.
LONGEST_PATH = 512
TOKEN_GRACE_SECONDS = 60.0  # that Envoy gives a token beyond its end, for clocks differ


class Requests:
    """The requests of one endpoint's clients that go on."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        """`wall` is the time of day, by which tokens end."""
        self._clock = clock
        self._wall = wall
        # by request id: when it was last heard of, and the decision that it was first seen under
        self._open: OrderedDict[str, tuple[float, Connection, Decision | None]] = OrderedDict()

    def note(self, event: ProxyEvent, table: Table | None) -> Connection:
        """Take a record of a request that goes on."""
        request = msgspec.structs.replace(
            told(event),
            request_id=event.request_id,
            method=event.method,
            path=event.path,
            host=event.host,
            expires=event.expires,
        )
        if event.shared:
            near, far = (event.destination, names.INBOUND_PORT), (event.source, event.source_port)
            request = msgspec.structs.replace(request, near=near, far=far)
        now = self._clock()
        _, _, under = self._open.pop(request.request_id, (now, request, None))
        if under is None and table is not None:
            under = table.find(request.peer, request.source, request.destination_port)
        self._open[request.request_id] = now, request, under
        while next(iter(self._open.values()))[0] < now - FORGET_SECONDS:
            self._open.popitem(last=False)
        return request

    def over(self, request_id: str) -> None:
        """It has ended by itself."""
        self._open.pop(request_id, None)

    def denied(
        self, table: Table, revoked: frozenset[str] = frozenset()
    ) -> dict[Connection, tuple[str, ...]]:
        """Those that may not go on, by serial number or policy, and by which rules."""
        now = self._wall()
        judged = ((one, refusal(table, one, now, under, revoked)) for _, one, under in self._open.values())
        return {one: rules for one, rules in judged if rules is not None}

    def put_back(self, connection: Connection) -> None:
        """It could not be ended."""
        self._open[connection.request_id] = self._clock(), connection, None

    def forget(self, connection: Connection) -> bool:
        """It is being ended; whether it was still thought to be open."""
        return self._open.pop(connection.request_id, None) is not None


def refusal(
    table: Table,
    request: Connection,
    now: float,
    under: Decision | None = None,
    revoked: frozenset[str] = frozenset(),
) -> tuple[str, ...] | None:
    """The rules by which a request may not go on at `now` (UNIX seconds); None if it may. `under` is the
    decision that it was first seen under."""
    if request.serial in revoked:
        return (names.REVOKED_RULE,)
    decision = table.find(request.peer, request.source, request.destination_port)
    if decision is None:
        return (names.IDENTITY_RULE,)
    reached = list(possible(decision, request, now))
    denying = [leaf for leaf in reached if not leaf.allow]
    unread = len(_path(request)) > LONGEST_PATH and under is not None and under != decision
    return denying[0].rules if denying and (unread or len(denying) == len(reached)) else None


def possible(decision: Decision, request: Connection, now: float) -> Iterator[Leaf]:
    """The verdicts that a request may have at `now`, as far as it is known."""
    if isinstance(decision, Leaf):
        yield decision
        return
    known = holds(decision.test, request, now)
    if known is not False:
        yield from possible(decision.then, request, now)
    if known is not True:
        yield from possible(decision.otherwise, request, now)


def holds(test: Predicate, request: Connection, now: float) -> bool | None:
    """Whether a predicate holds for a request at `now`; None where that is not known."""
    if isinstance(test, SourcePort):
        return holds_for_port(test, request.source_port)
    if isinstance(test, Claim):
        return False if expired(request, now) else None
    if isinstance(test, Not):
        inner = holds(test.term, request, now)
        return None if inner is None else not inner
    if isinstance(test, AllOf | AnyOf):
        settles = isinstance(test, AnyOf)  # the value of one term that is that of the whole
        terms = [holds(term, request, now) for term in test.terms]
        return settles if settles in terms else None if None in terms else not settles
    return _text(test, request) if isinstance(test, Text) else None


def expired(request: Connection, now: float) -> bool:
    """Whether the token that it was let in with is not good any more."""
    return 0 < request.expires < now - TOKEN_GRACE_SECONDS


def _text(test: Text, request: Connection) -> bool | None:
    known = {":method": request.method, ":path": _path(request), ":authority": request.host}
    value = known.get(test.header, "")
    if not value or (test.header == ":path" and len(value) > LONGEST_PATH):
        return None
    if test.regex is not None:
        return re.fullmatch(test.regex, value) is not None
    wanted = next(one for one in (test.exact, test.prefix, test.suffix, "") if one is not None)
    if test.ignore_case:
        value, wanted = value.lower(), wanted.lower()
    if test.exact is not None:
        return value == wanted
    return value.startswith(wanted) if test.prefix is not None else value.endswith(wanted)


def _path(request: Connection) -> str:
    """Without the query, which no clause asks for."""
    return request.path.partition("?")[0]
