"""The first bytes of an IP packet, as far as a flow record needs them. Pure."""

from __future__ import annotations

import ipaddress
import struct
from typing import NamedTuple

from tsujiban.kernel.clauses import ICMP, PORTED

_EXTENSIONS = frozenset({0, 43, 60, 135})  # hop-by-hop, routing, destination options, mobility
_FRAGMENT, _AUTHENTICATION = 44, 51


class Packet(NamedTuple):
    """Who to whom. Ports are 0 and ICMP fields None where the protocol has none."""

    source: str
    destination: str
    protocol: int
    source_port: int = 0
    destination_port: int = 0
    icmp_type: int | None = None
    icmp_code: int | None = None


def parse(data: bytes) -> Packet | None:
    """What `data` (from the IP header on; may be cut off) is; None when it is no IP packet."""
    version = data[0] >> 4 if data else 0
    if version == 4 and len(data) >= 20:
        source, destination, protocol = data[12:16], data[16:20], data[9]
        fragment = bool(struct.unpack_from("!H", data, 6)[0] & 0x1FFF)
        start = (data[0] & 0xF) * 4
    elif version == 6 and len(data) >= 40:
        source, destination = data[8:24], data[24:40]
        protocol, start, fragment = _upper(data)
    else:
        return None
    ends = str(ipaddress.ip_address(source)), str(ipaddress.ip_address(destination))
    if not fragment and protocol in PORTED and len(data) >= start + 4:
        ports = struct.unpack_from("!HH", data, start)
        return Packet(*ends, protocol, *ports)
    if not fragment and protocol in ICMP and len(data) >= start + 2:
        return Packet(*ends, protocol, icmp_type=data[start], icmp_code=data[start + 1])
    return Packet(*ends, protocol)


def _upper(data: bytes) -> tuple[int, int, bool]:
    """The upper layer's protocol, where it starts, and whether this is a later fragment (RFC 8200, 4)."""
    protocol, start, fragment = data[6], 40, False
    while start + 8 <= len(data):
        if protocol in _EXTENSIONS:
            length = (data[start + 1] + 1) * 8
        elif protocol == _AUTHENTICATION:
            length = (data[start + 1] + 2) * 4
        elif protocol == _FRAGMENT:
            length = 8
            fragment = bool(struct.unpack_from("!H", data, start + 2)[0] & 0xFFF8)
        else:
            break
        protocol = data[start]
        start += length
        if fragment:
            break
    return protocol, start, fragment
