"""All addresses, parted by what is said of them, in as few networks as that takes.

A table says something of each network and address that a rule or a set names: of ten thousand, where a set
has so many. Envoy makes a trie of them wherever one stands, so what a change costs it is their number: those
that say what the network around them says are left out, neighbours that say the same are one network, and
what is said of the rest of the world is no network at all. What is found for an address stays the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from typing import Generic, NamedTuple, TypeVar

from tsujiban.policy.addresses import Span, span
from tsujiban.proxy.encode import Encoded
from tsujiban.proxy.matchers import ANYWHERE, networks
from tsujiban.proxy.signature import outer_first, text

T = TypeVar("T")


class Division(NamedTuple, Generic[T]):
    """What is said of each address: by the most specific of the networks around it."""

    groups: list[tuple[Encoded, T]]
    rest: dict[int, T]  # of addresses in none of them, by IP version


def divide(said: Mapping[str, T], rest: Mapping[int, T], same: Callable[[T], Hashable]) -> Division[T]:
    """Part all addresses by what is `said` of networks; what has the `same` goes into one group."""
    around = {version: said.get(anywhere, rest[version]) for version, anywhere in ANYWHERE.items()}
    groups: defaultdict[Hashable, list[str]] = defaultdict(list)
    found = minimal(said, around)
    for prefix, value in found.items():
        groups[same(value)].append(prefix)
    return Division([(networks(nets), found[nets[0]]) for nets in groups.values()], around)


def minimal(ranges: Mapping[str, T], default: Mapping[int, T]) -> dict[str, T]:
    """Prefixes with values as few prefixes: without those that say what the next prefix around them says, and
    with one in place of two that are its halves and say the same. Outside of all is `default`, by IP
    version. Longest-prefix matches in both are the same."""
    said = _joined({span(prefix): value for prefix, value in ranges.items()})
    found: dict[str, T] = {}
    stack: list[tuple[Span, T]] = []
    for here in sorted(said, key=outer_first):
        while stack and not (stack[-1][0][0] == here[0] and stack[-1][0][2] >= here[2]):
            stack.pop()
        value = said[here]
        around = stack[-1][1] if stack else default.get(here[0])
        stack.append((here, value))
        if value != around:
            found[text(here)] = value
    return found


def _joined(said: dict[Span, T]) -> dict[Span, T]:
    """Halves that say the same as one, from the smallest on. What lies between a half and the whole says
    nothing, for each address is in a half."""
    sizes: defaultdict[int, list[Span]] = defaultdict(list)
    for one in said:
        sizes[one[2] - one[1] + 1].append(one)
    while sizes:
        size = min(sizes)
        for version, first, last in sizes.pop(size):
            if first % (2 * size) or (version, first + size, last + size) not in said:
                continue  # it is no first half, or the only one
            value, other = said[version, first, last], said[version, first + size, last + size]
            if value == other:
                del said[version, first, last], said[version, first + size, last + size]
                whole = (version, first, last + size)
                if whole not in said:
                    sizes[2 * size].append(whole)
                said[whole] = value
    return said
