"""Whether every node knows the way to the pods of every other.

BGP tells it a second or two after the nodes are ready. A pod that starts at once would be ready,
and an endpoint of its service, while half of the cluster cannot reach it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping

Blocks = Mapping[str, Iterable[str]]  # networks of pods, by node


def missing(blocks: Blocks, known: Mapping[str, frozenset[str]]) -> list[str]:
    """Which ways are missing, in words; `known` are the networks that each node has a route to."""
    return [
        f"{node} has no route to {block} of {other}"
        for node, networks in sorted(known.items())
        for other, theirs in sorted(blocks.items())
        if other != node
        for block in theirs
        if block not in networks
    ]


def known(namespace: str) -> frozenset[str]:
    """Networks that a network namespace has routes to, of IPv4 and IPv6; none when it cannot be asked."""
    found: set[str] = set()
    for family in ("-4", "-6"):
        command = ["ip", "-n", namespace, family, "-json", "route", "show"]
        told = subprocess.run(command, capture_output=True, check=False)
        found.update(route["dst"] for route in json.loads(told.stdout or b"[]"))
    return frozenset(found)
