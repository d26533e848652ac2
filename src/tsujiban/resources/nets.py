"""Addresses and CIDRs, strictly: what two parsers could read differently is refused.

No leading zeros, no IPv4 in fewer than four parts, no zone, no IPv4-mapped IPv6, no netmask in
place of a prefix length.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_V4 = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}")
_V6 = re.compile(r"[0-9a-fA-F:]{2,39}(?:(?<=:)(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3})?")
_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}")


def address(text: str) -> Address:
    """One address.

    Raises ValueError.
    """
    try:
        if _V4.fullmatch(text):
            return IPv4Address(text)
        if _V6.fullmatch(text):
            found = IPv6Address(text)
            if found.ipv4_mapped is not None:
                raise ValueError(f"{text!r} is an IPv4 address written as IPv6: write {found.ipv4_mapped}")
            return found
    except AddressValueError:
        pass
    raise ValueError(f"not an IP address: {text[:64]!r}")


@lru_cache(maxsize=65_536)
def network(text: str) -> Network:
    """One CIDR; an address alone is its /32 or /128. Bits beyond the prefix are masked off, as in
    Calico.

    Raises ValueError.
    """
    host, slash, length = text.partition("/")
    found = address(host)
    bits: int = found.max_prefixlen
    if slash:
        if not _LENGTH.fullmatch(length) or int(length) > bits:
            raise ValueError(f"not a prefix length from 0 to {bits}: {text[:64]!r}")
        bits = int(length)
    if isinstance(found, IPv4Address):
        return IPv4Network((found, bits), strict=False)
    return IPv6Network((found, bits), strict=False)


def cidr(text: str) -> Network:
    """One CIDR with its prefix length, host bits allowed.

    Raises ValueError.
    """
    if "/" not in text:
        raise ValueError(f"not a CIDR, the prefix length is missing: {text[:64]!r}")
    return network(text)


def is_canonical(text: str) -> bool:
    """Whether a valid CIDR or address is written the one way it is shown."""
    found = network(text)
    return text in (str(found), str(found.network_address) if found.num_addresses == 1 else "")


def contains(outer: Network, inner: Network) -> bool:
    """Whether every address of `inner` is in `outer`; never across IP versions."""
    if isinstance(outer, IPv4Network):
        return isinstance(inner, IPv4Network) and inner.subnet_of(outer)
    return isinstance(inner, IPv6Network) and inner.subnet_of(outer)


def overlap(one: Network, other: Network) -> bool:
    """Whether two networks share an address: one of them then holds the other."""
    return contains(one, other) or contains(other, one)
