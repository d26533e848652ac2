"""What the two posts have seen, as flow records of one form. Pure.

A client writes a path, and a stranger writes the name in a certificate that is refused: what they write is
cut short, since a controller ends the stream of a node whose records are longer than any honest one, and its
characters are ones that can be shown.
"""

from __future__ import annotations

from urllib.parse import quote

from tsujiban.kernel.conntrack import Ended
from tsujiban.kernel.nflog import KernelEvent
from tsujiban.policy.program import Action
from tsujiban.proxy.accesslog import ProxyEvent
from tsujiban.wire.messages import Flow

KERNEL, PROXY = "kernel", "proxy"
MAX_PATH, MAX_DETAIL = 1024, 512  # characters; a client may write 60 kB of a path
MAX_PEER = 2048  # of a SPIFFE ID, by its standard


def of_kernel(event: KernelEvent, node: str) -> Flow | None:
    """The record of a kernel decision; None for what decides nothing (Log rules, staged policies)."""
    if event.staged or event.verdict not in (Action.ALLOW, Action.DENY):
        return None
    return Flow(
        time_ns=event.time_ns,
        node=node,
        post=KERNEL,
        direction=str(event.direction),
        endpoint=event.endpoint,
        verdict=str(event.verdict),
        rule=event.rule,
        source=event.packet.source,
        source_port=event.packet.source_port,
        destination=event.packet.destination,
        destination_port=event.packet.destination_port,
        protocol=event.packet.protocol,
    )


def of_proxy(event: ProxyEvent, node: str) -> Flow:
    """The record of a proxy decision."""
    return Flow(
        time_ns=event.time_ns,
        node=node,
        post=PROXY,
        direction=event.direction,
        endpoint=event.endpoint,
        verdict=event.verdict,
        rule=event.rule,
        source=event.source,
        source_port=event.source_port,
        destination=event.destination,
        destination_port=event.destination_port,
        protocol=6,
        peer=_plain(event.peer, MAX_PEER),
        method=event.method,
        path=_plain(event.path, MAX_PATH),
        status=event.status,
        tls=event.tls,
        detail=_plain(_detail(event), MAX_DETAIL),
        bytes_in=event.bytes_in,
        bytes_out=event.bytes_out,
    )


def _detail(event: ProxyEvent) -> str:
    staged = f"staged policies would say: {event.staged}" if event.staged else ""
    audits = f"audited by: {' '.join(event.audits)}" if event.audits else ""
    return "; ".join(part for part in (event.detail, audits, staged) if part)


def of_ended(ended: Ended, node: str, time_ns: int, endpoint: str) -> Flow:
    """The record of a connection that a change of policy has ended."""
    connection = ended.connection
    return Flow(
        time_ns=time_ns,
        node=node,
        post=KERNEL,
        direction="ingress",
        endpoint=endpoint,
        verdict="deny",
        rule=ended.rule,
        source=connection.source,
        source_port=connection.source_port,
        destination=connection.destination,
        destination_port=connection.destination_port,
        protocol=connection.protocol,
        detail="ended by a change of policy",
    )


def _plain(text: str, limit: int) -> str:
    """Cut off, and what does not print (it could command a terminal) percent-encoded."""
    if not text[:limit].isprintable():
        shown = (one if one.isprintable() else quote(one, errors="replace") for one in text[:limit])
        text = "".join(shown) + text[limit:]
    return text if len(text) <= limit else text[: limit - 1] + "…"
