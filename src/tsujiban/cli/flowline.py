"""The records of a flows file: one JSON object a line, as `tsujiban verdict` reads them."""

from __future__ import annotations

import msgspec

from tsujiban.policy.bulk.asked import Parts
from tsujiban.policy.flow import Flow, Request, out_of_range, request_of
from tsujiban.policy.offline import End, OfflineWorld
from tsujiban.resources import protocols


class FlowLine(msgspec.Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """One line of the flows file."""

    src: str
    dst: str
    protocol: str | int = "TCP"
    port: int = 0
    source_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    method: str | None = None
    path: str | None = None
    host: str | None = None
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    claims: dict[str, object] | None = None
    principal: str | None = None  # authenticated SPIFFE ID; "" is plaintext
    sni: str = ""


def parts_of(asked: FlowLine) -> Parts:
    """What a line asks apart from its ends and its request. Raises ValueError."""
    protocol = protocols.number(asked.protocol)
    if protocol is None:
        raise ValueError(f"unknown protocol {asked.protocol!r}")
    for what, given, most in out_of_range(asked.port, asked.source_port, asked.icmp_type, asked.icmp_code):
        raise ValueError(f"{what} {given} is not from 0 to {most}")
    return (
        protocol,
        asked.port,
        asked.source_port,
        asked.icmp_type,
        asked.icmp_code,
        asked.principal,
        asked.sni,
    )


def request_in(asked: FlowLine) -> Request | None:
    """The HTTP request of a line; None when it names nothing of one."""
    return request_of(asked.method, asked.path, asked.host, asked.headers, asked.claims)


def flow_of(world: OfflineWorld, asked: FlowLine, source: End, destination: End) -> Flow:
    """The flow that a line asks about. Raises ValueError."""
    protocol, port, source_port, icmp_type, icmp_code, peer, sni = parts_of(asked)
    return world.flow(
        source,
        destination,
        protocol=protocol,
        port=port,
        source_port=source_port,
        icmp_type=icmp_type,
        icmp_code=icmp_code,
        peer=peer,
        sni=sni,
        http=request_in(asked),
    )
