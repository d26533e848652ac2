"""Connections to servers on which tunnels of the endpoint's own are open, so that they can be ended when the
certificate that the server has shown is revoked.

The client's Envoy looks at a certificate once, when it connects. It reports each tunnel when it opens and
every ten seconds (so that a restarted agent learns of it), with the certificate.
Tunnels share connections; what is ended is the connection, and with it all that leads to that server. One
without a tunnel needs no end: none is opened on it any more once a list has changed (`routes.revocations`).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from tsujiban.proxy import names
from tsujiban.proxy.accesslog import ProxyEvent
from tsujiban.proxy.connections import Connection

FORGET_SECONDS = 60.0  # without a word of any tunnel on it: six of Envoy's reports

Ends = tuple[tuple[str, int], tuple[str, int]]


class Tunnels:
    """The connections of one endpoint to servers."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: OrderedDict[Ends, tuple[float, Connection]] = OrderedDict()

    def note(self, event: ProxyEvent) -> Connection:
        """Take a record of an open tunnel."""
        connection = Connection(
            source=event.near[0],
            source_port=event.near[1],
            destination=event.far[0],
            destination_port=event.far[1],
            peer=event.peer,
            near=event.near,
            far=event.far,
            serial=event.serial,
        )
        now = self._clock()
        ends = event.near, event.far
        self._open[ends] = now, connection
        self._open.move_to_end(ends)
        while next(iter(self._open.values()))[0] < now - FORGET_SECONDS:
            self._open.popitem(last=False)
        return connection

    def denied(
        self, revoked: Iterable[str], avoided: frozenset[str] = frozenset()
    ) -> dict[Connection, tuple[str, ...]]:
        """Those that may not go on, by serial number or identity, and by which rules."""
        listed = frozenset(revoked)
        judged = ((one, refusal(one, listed, avoided)) for _, one in self._open.values())
        return {one: rules for one, rules in judged if rules is not None}

    def put_back(self, connection: Connection) -> None:
        """It could not be ended."""
        self._open[connection.near, connection.far] = self._clock(), connection

    def forget(self, connection: Connection) -> bool:
        """It is being ended; whether it was still thought to be open."""
        return self._open.pop((connection.near, connection.far), None) is not None


def refusal(
    connection: Connection, revoked: frozenset[str], avoided: frozenset[str] = frozenset()
) -> tuple[str, ...] | None:
    """The rules by which a connection to a server may not go on; None if it may. Envoy has found the
    expected name among the names; an identity is exactly one (X.509-SVID section 5.2), which it does not ask.
    """
    if connection.serial in revoked or connection.peer in avoided:
        return (names.REVOKED_RULE,)
    return None if connection.peer else (names.IDENTITY_RULE,)
