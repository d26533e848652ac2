"""Why a proxy has refused somebody that it has not been told of.

A proxy is told only of those whom policy lets in or out. Of everybody else its records say that they are
not listed; the agent, whose tables know them all, puts the rule in that denies them. A record comes a
moment after the refusal: what the tables before the last change say counts when the newest would not deny.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from tsujiban.policy.program import ServiceProgram
from tsujiban.proxy import names
from tsujiban.proxy.accesslog import ProxyEvent
from tsujiban.proxy.connections import first_look
from tsujiban.proxy.decisions import Admission, Class
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.table import Table

_UNLISTED = (names.UNLISTED_RULE,)
_UNPROVEN = ((names.IDENTITY_RULE,), (names.REVOKED_RULE,))  # refused by TLS: no policy has decided
_UNTOLD = "allowed, but the node's agent did not tell the proxy in time who is there"
_FOREIGN = Admission(kind=Class.DENY, rules=(names.IDENTITY_RULE,))


class Tables(NamedTuple):
    """All tables of an endpoint."""

    ingress: Table
    egress: Table
    staged: Table | None  # `ingress`, if the staged policies were enforced
    staged_egress: Table | None = None  # the same of `egress`; Envoy is not told of it


def explained(
    event: ProxyEvent,
    tables: Sequence[Tables],
    peers: Peers,
    services: Mapping[str, ServiceProgram],
    avoided: frozenset[str] = frozenset(),
) -> ProxyEvent:
    """The record with the rules that decided; `tables` are the newest first, `avoided` the identities that
    were revoked."""
    if event.direction != "egress":
        return _staged(_incoming(event, tables), event, tables[0].staged)
    return _outgoing(event, tables, peers, *_backend(event, services), avoided)


def _outgoing(
    event: ProxyEvent,
    tables: Sequence[Tables],
    peers: Peers,
    address: str,
    port: int,
    avoided: frozenset[str],
) -> ProxyEvent:
    owner = peers.owner(address)

    def look(table: Table) -> Admission | None:
        return first_look(table, owner or "", address, port, event.source_port)

    told = event
    if event.rules == _UNLISTED:
        denied = [seen for one in tables if address and (seen := look(one.egress)) and _denies(seen)]
        if denied:
            told = msgspec.structs.replace(event, rules=denied[0].rules)
        elif not owner:
            told = msgspec.structs.replace(event, rules=(names.UNKNOWN_RULE,))
        elif owner in avoided:
            told = msgspec.structs.replace(event, rules=(names.REVOKED_RULE,))
        else:
            told = msgspec.structs.replace(event, detail=_UNTOLD)
    staged = tables[0].staged_egress
    would = look(staged) if staged is not None and address and event.log == "egress" else None
    if would is None or would.rules == told.rules or told.rules in _UNPROVEN:
        return told
    said = Class.DENY.value if _denies(would) else "allow"
    return msgspec.structs.replace(told, staged=" ".join((said, *would.rules)))


def _denies(seen: Admission) -> bool:
    """Of an outgoing connection: the client's side reads no HTTP, so what depends on it is refused."""
    return seen.kind is not Class.TCP


def _incoming(event: ProxyEvent, tables: Sequence[Tables]) -> ProxyEvent:
    if event.rules != _UNLISTED:
        return event
    for one in tables:
        seen = _look(one.ingress, event)
        if seen.kind is Class.DENY:
            return msgspec.structs.replace(event, rules=seen.rules, audits=seen.audits)
    return event


def _staged(event: ProxyEvent, told: ProxyEvent, table: Table | None) -> ProxyEvent:
    """What staged policies would say, when the proxy has not been told of the peer for one reason or the
    other."""
    if table is None or (told.rules != _UNLISTED and not told.staged.endswith(names.UNLISTED_RULE)):
        return event
    would = told.staged
    if not would or would.endswith(names.UNLISTED_RULE):
        would = " ".join((Class.DENY.value, *_look(table, told).rules))
    same = would == " ".join((Class.DENY.value, *event.rules))
    return msgspec.structs.replace(event, staged="" if same else would)


def _look(table: Table, event: ProxyEvent) -> Admission:
    """What a table settles of a peer's connection."""
    seen = None
    if event.peer:
        seen = first_look(table, event.peer, event.source, event.destination_port, event.source_port)
    return _FOREIGN if seen is None else seen


def _backend(event: ProxyEvent, services: Mapping[str, ServiceProgram]) -> tuple[str, int]:
    """Where a service's address leads first; any other address is what it is."""
    for program in services.values():
        if event.destination in program.addresses:
            for port in program.ports:
                if port.port == event.destination_port and port.backends:
                    first = min(port.backends, key=lambda one: (one.address, one.port))
                    return first.address, first.port
            return "", 0
    return event.destination, event.destination_port
