"""IP protocols by name, as Calico and Kubernetes name them, and by IANA number."""

from __future__ import annotations

TCP, UDP, SCTP, ICMP, ICMPV6, UDPLITE = 6, 17, 132, 1, 58, 136

NUMBERS: dict[str, int] = {
    "TCP": TCP,
    "UDP": UDP,
    "SCTP": SCTP,
    "ICMP": ICMP,
    "ICMPv6": ICMPV6,
    "UDPLite": UDPLITE,
}
"""IANA numbers of the names that policies use."""

NAMES: dict[int, str] = {number: name for name, number in NUMBERS.items()}

WITH_PORTS = frozenset((TCP, UDP, SCTP))
"""Protocols whose rules may name ports."""

KUBERNETES = ("TCP", "UDP", "SCTP")
"""Protocols of Kubernetes' own objects."""

_BY_LOWER = {name.lower(): number for name, number in NUMBERS.items()}


def number(protocol: int | str) -> int | None:
    """IANA number of a name (in any case, as Calico takes it) or of a number (1 to 255, also as text).

    None for what is no protocol.
    """
    if isinstance(protocol, str):
        known = _BY_LOWER.get(protocol.lower())
        if known is not None:
            return known
        if not protocol.isascii() or not protocol.isdecimal() or len(protocol) > 3:
            return None
        protocol = int(protocol)
    return protocol if 1 <= protocol <= 255 else None


def matches(wanted: int | str, actual: int) -> bool:
    """Whether a flow of protocol number `actual` is of protocol `wanted`; never for an unknown name."""
    return 0 < actual <= 255 and number(wanted) == actual


def matches_not(unwanted: int | str, actual: int) -> bool:
    """Whether a `notProtocol` clause holds; not for a number that is none (fail closed)."""
    return 0 < actual <= 255 and number(unwanted) != actual


def name(protocol: int) -> str:
    """Name of a protocol number, or the number itself as text."""
    return NAMES.get(protocol, str(protocol))
