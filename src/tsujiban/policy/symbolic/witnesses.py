"""Real flows that stand for parts of a set, to ask the definition who decides there.

Sets say what differs; the rules behind it are those that the definition names for a witness of
each part that no policy can tell apart any further.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from tsujiban.policy.flow import Flow
from tsujiban.policy.symbolic.analysis import Analysis
from tsujiban.policy.symbolic.parties import Party, Spot
from tsujiban.policy.symbolic.requests import Vocabulary
from tsujiban.policy.symbolic.traffic import CODES, OTHER, Traffic
from tsujiban.resources import protocols

MOST = 128
"""Most witnesses of one set."""


def witnesses(
    analysis: Analysis, traffic: Traffic, vocabulary: Vocabulary, source: Spot, destination: Spot
) -> Iterator[Flow]:
    """Flows in `traffic`, one for every part that rules distinguish, at most `MOST`."""
    left = MOST
    ports = sorted(analysis.distinctions.ports)
    width = len(vocabulary.atoms)
    starts = analysis.source_ports.starts
    for protocol, first, last, bits in analysis.axis.split(traffic):
        for port in _cuts(first, last, ports if protocol in protocols.WITH_PORTS else []):
            rest = bits
            if protocol != protocols.TCP:
                rest = _any_request(bits, width, len(starts))
            while rest:
                at = (rest & -rest).bit_length() - 1
                rest &= rest - 1
                atom = vocabulary.atoms[at % width]
                icmp = protocol in (protocols.ICMP, protocols.ICMPV6)
                yield Flow(
                    source=source.address,
                    destination=destination.address,
                    source_endpoint=source.endpoint,
                    destination_endpoint=destination.endpoint,
                    protocol=_number(protocol, analysis),
                    port=0 if icmp else port,
                    source_port=starts[at // width],
                    icmp_type=port // CODES if icmp else None,
                    icmp_code=port % CODES if icmp else None,
                    sni=atom.sni if protocol == protocols.TCP else "",
                    http=atom.http if protocol == protocols.TCP else None,
                )
                left -= 1
                if not left:
                    return


def _cuts(first: int, last: int, ports: list[int]) -> Iterator[int]:
    yield first
    for port in ports[bisect_right(ports, first) :]:
        if port > last:
            return
        yield port


def _any_request(bits: int, width: int, starts: int) -> int:
    """One class of requests for each class of source ports: others differ for HTTP only."""
    found = 0
    for at in range(starts):
        part = bits >> at * width & ((1 << width) - 1)
        found |= (part & -part) << at * width
    return found


def _number(protocol: int, analysis: Analysis) -> int:
    if protocol != OTHER:
        return protocol
    return next(number for number in range(255, 0, -1) if number not in analysis.axis.protocols)


def apart(one: Party, other: Party) -> tuple[Spot, Spot]:
    """Two different ends of two parties, where there are two."""
    mine = one.spots or [Spot("", "", one.address)]
    theirs = other.spots or [Spot("", "", other.address)]
    for there in theirs:
        if not _same(mine[0], there):
            return mine[0], there
    here = next((spot for spot in mine if not _same(spot, theirs[0])), mine[0])
    return here, theirs[0]


def _same(one: Spot, other: Spot) -> bool:
    """Whether what one sends the other never leaves it."""
    return one.name == other.name or (bool(one.host) and one.host == other.host)
