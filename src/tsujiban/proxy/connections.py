"""Uninspected connections that are open, so that a change of policy can end those it denies.

A request is judged each time; a connection that passes as plain bytes was judged once. Envoy
reports such a connection when it opens, every ten seconds (so that a restarted agent learns of
it), and when it ends. Each is known by Envoy's own socket to the application: tunnels may share the
client's connection, and ending that one would end allowed ones as well.
"""

from __future__ import annotations

import time

import msgspec

from tsujiban.proxy import names
from tsujiban.proxy.accesslog import ProxyEvent
from tsujiban.proxy.decisions import Admission, Class, admit, holds_for_port
from tsujiban.proxy.table import Table


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """A connection of a client's to one port of the application."""

    source: str
    source_port: int
    destination: str
    destination_port: int
    peer: str  # authenticated SPIFFE ID; "" for plaintext
    near: tuple[str, int]  # the proxy's socket to the application, this end
    far: tuple[str, int]  # and the application's
    serial: str = ""  # of the certificate that the client has shown, hex
    request_id: str = ""  # of a request, as what follows (`requests`)
    method: str = ""
    path: str = ""
    host: str = ""
    expires: float = 0.0  # UNIX seconds: of its token; 0: it has none, or one that is good for ever


def told(event: ProxyEvent) -> Connection:
    """The connection that a record is about, whatever passes on it."""
    return Connection(
        source=event.source,
        source_port=event.source_port,
        destination=event.destination,
        destination_port=event.destination_port,
        peer=event.peer,
        near=event.near,
        far=event.far,
        serial=event.serial,
    )


class Connections:
    """The open uninspected connections of one endpoint."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()

    def note(self, event: ProxyEvent) -> Connection | None:
        """Take an access log record of the log `tcp`; the connection, if it is open."""
        connection = told(event)
        if event.final:
            self._open.discard(connection)
            return None
        self._open.add(connection)
        return connection

    def denied(
        self, table: Table, revoked: frozenset[str] = frozenset()
    ) -> dict[Connection, tuple[str, ...]]:
        """Open connections that `table` would not let pass uninspected, or that were opened with a
        certificate of which the serial number is `revoked`, and by which rules."""
        judged = ((one, refusal(table, one, revoked)) for one in self._open)
        return {one: rules for one, rules in judged if rules is not None}

    def put_back(self, connection: Connection) -> None:
        """It could not be ended."""
        self._open.add(connection)

    def forget(self, connection: Connection) -> bool:
        """It is being ended; whether it was still thought to be open."""
        if connection not in self._open:
            return False
        self._open.remove(connection)
        return True


def refusal(
    table: Table, connection: Connection, revoked: frozenset[str] = frozenset()
) -> tuple[str, ...] | None:
    """The rules by which a connection may not pass uninspected; None if it may."""
    if connection.serial in revoked:
        return (names.REVOKED_RULE,)
    seen = first_look(
        table, connection.peer, connection.source, connection.destination_port, connection.source_port
    )
    if seen is None:
        return (names.IDENTITY_RULE,)
    return None if seen.kind is Class.TCP else seen.rules


def first_look(table: Table, identity: str, address: str, port: int, source_port: int) -> Admission | None:
    """What a connection's first look settles; None when the table knows no such owner of the address."""
    decision = table.find(identity, address, port)
    while decision is not None:
        seen = admit(decision)
        if isinstance(seen, Admission):
            return seen
        decision = seen.then if holds_for_port(seen.test, source_port) else seen.otherwise
    return None


def ended(
    endpoint: str, connection: Connection, rules: tuple[str, ...], direction: str = "ingress"
) -> ProxyEvent:
    """The record of a connection that a change of policy has ended."""
    return ProxyEvent(
        time_ns=time.time_ns(),
        endpoint=endpoint,
        log="ended",
        direction=direction,
        verdict="deny",
        rules=rules,
        source=connection.source,
        source_port=connection.source_port,
        destination=connection.destination,
        destination_port=connection.destination_port,
        peer=connection.peer,
        serial=connection.serial,
        method=connection.method,
        path=connection.path,
        host=connection.host,
        request_id=connection.request_id,
        detail=_why(connection, rules),
    )


def _why(connection: Connection, rules: tuple[str, ...]) -> str:
    if rules == (names.REVOKED_RULE,) and connection.serial:
        return f"ended: serial:{connection.serial} is revoked"
    if 0 < connection.expires < time.time():
        return "ended: its token is not good any more, and policy lets nobody in without one"
    return "ended by a change of policy"


def foreign(endpoint: str, near: tuple[str, int], far: tuple[str, int], peer: str) -> ProxyEvent:
    """The record of a tunnel that was ended because its client, `peer`, does not own its address any more."""
    return ProxyEvent(
        time_ns=time.time_ns(),
        endpoint=endpoint,
        log="ended",
        direction="ingress",
        verdict="deny",
        rules=(names.IDENTITY_RULE,),
        source=far[0],
        source_port=far[1],
        destination=near[0],
        destination_port=near[1],
        peer=peer,
        detail="ended: the address has another owner",
    )
