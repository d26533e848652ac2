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
_FOREIGN = Admission(kind=Class.DENY, rules=(names.IDENTITY_RULE,))


class Tables(NamedTuple):
    """All tables of an endpoint."""

    ingress: Table
    egress: Table
    staged: Table | None  # `ingress`, if the staged policies were enforced


def explained(
    event: ProxyEvent, tables: Sequence[Tables], peers: Peers, services: Mapping[str, ServiceProgram]
) -> ProxyEvent:
    """The record with the rules that decided; `tables` are the newest first."""
    if event.direction != "egress":
        return _staged(_incoming(event, tables), event, tables[0].staged)
    if event.rules != _UNLISTED:
        return event
    address, port = _backend(event, services)
    for one in tables if address else ():
        seen = first_look(one.egress, peers.owner(address) or "", address, port, event.source_port)
        if seen is not None and seen.kind is not Class.TCP:
            return msgspec.structs.replace(event, rules=seen.rules)
    return msgspec.structs.replace(event, rules=(names.UNKNOWN_RULE,))


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
