"""Addresses and CIDRs as integers, parsed once: comparisons are what the evaluator does most.

An address that is unknown (`@namespace/name`, only in offline analysis) is in no network.
"""

from __future__ import annotations

from functools import lru_cache

from tsujiban.resources import nets

UNKNOWN = "@"  # first character of the stand-in for an address that nobody knows yet

# (IP version, first, last); version 0 for what is not an address
Span = tuple[int, int, int]


def stand_in(endpoint: str) -> str:
    """The stand-in address of an endpoint without one."""
    return UNKNOWN + endpoint


@lru_cache(maxsize=1 << 17)
def span(text: str) -> Span:
    """First and last address of an address or CIDR. Host bits are ignored.

    Raises ValueError for text that is neither, nor a stand-in.
    """
    if text.startswith(UNKNOWN):
        return (0, 0, -1)
    network = nets.network(text)
    return (network.version, int(network.network_address), int(network.broadcast_address))


def contains(net: str, address: str) -> bool:
    """Whether `address` lies in the network `net`."""
    version, first, last = span(net)
    its_version, its_first, its_last = span(address)
    return version == its_version and first <= its_first and its_last <= last


def is_host(net: str) -> bool:
    """Whether this is one address rather than a network."""
    if net.startswith(UNKNOWN):
        return True
    _, first, last = span(net)
    return first == last


@lru_cache(maxsize=1 << 17)
def canonical(net: str) -> str:
    """An address without prefix length, or a network with it; both in shortest form.

    Raises ValueError.
    """
    if net.startswith(UNKNOWN):
        return net
    network = nets.network(net)
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return str(network)


def version(address: str) -> int:
    """4, 6, or 0 for a stand-in."""
    return span(address)[0]
