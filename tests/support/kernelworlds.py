"""Worlds of manifests around one real node: some of their pods stand on it, everybody else is outside.

    pods of LOCAL ── n1 (the bed's node) ── outside: n2 and its pods, and addresses of nobody's

The manifests take the way of a user's: text is read and validated, the objects are compiled, the node
gets its part over the wire's own encoding.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from ipaddress import ip_address

import msgspec
from tests.support.kernelbed import NODE4, NODE6, OUTSIDE4, OUTSIDE6, Bed, ip
from tests.support.kernelflows import Attempt
from tests.support.worlds import ICMPS, NAMESPACES, OUTSIDE, PORTS, Json, WorldMaker

from tsujiban.policy.graph import Change, PolicyGraph, key_of
from tsujiban.policy.program import NodeDelta, NodeState
from tsujiban.resources.load import read

HERE, THERE = "n1", "n2"
LOCAL = (("x", "p0"), ("x", "p1"), ("y", "p0"), ("z", "p0"))
SIZE = 3  # pods of a namespace at most

End = tuple[str, str]  # the namespace whose process it is (see `Bed.namespace`), an address


def addresses_of(namespace: str, number: int) -> tuple[str, str]:
    """Both addresses of a pod, as `WorldMaker.places` gives them."""
    index = NAMESPACES.index(namespace)
    return f"10.{index + 1}.0.{number + 1}", str(ip_address(f"2001:db8:{index}::{number + 1}"))


class KernelWorldMaker(WorldMaker):
    """Worlds whose node n1 is the bed's."""

    node_addresses = {HERE: (NODE4, NODE6), THERE: (OUTSIDE4, OUTSIDE6)}  # noqa: RUF012  # as in the base
    dual_stack = 0.9

    def node(self, namespace: str, name: str) -> str:
        return HERE if (namespace, name) in LOCAL else THERE

    def attempts(self, state: NodeState, count: int) -> list[Attempt]:
        """Packets between those that there are, n1 always on their way."""
        ends = list(ends_of(state))
        found = []
        for _ in range(count if len(ends) > 1 else 0):
            (who, source), (other, to) = self.random.choice(ends), self.random.choice(ends)
            # pods reach their node for its DNS alone, whatever policy says
            if who == other or (":" in source) != (":" in to) or (who in pods() and other == "node"):
                continue
            found.append(self.attempt(who, source, to))
        return found

    def attempt(self, who: str, source: str, to: str) -> Attempt:
        """One packet of any protocol."""
        protocol = self.random.choice((6, 6, 6, 17, 17, 132, 136, 1))
        if protocol != 1:
            return Attempt(who, source, to, protocol, self.random.choice((*PORTS, 90)))
        name, number = ("ICMPv6", 58) if ":" in source else ("ICMP", 1)
        # an answer to no question opens nothing: conntrack takes requests only
        return Attempt(who, source, to, number, kind=_REQUEST[name], code=self.random.choice((0, 1)))


_REQUEST = {"ICMP": max(ICMPS["ICMP"]), "ICMPv6": min(ICMPS["ICMPv6"])}


def pods() -> dict[str, tuple[str, str]]:
    """Names of the bed's pods, and their addresses."""
    return {f"{space}-{name}": addresses_of(space, int(name[1:])) for space, name in LOCAL}


def build(bed: Bed) -> None:
    """The pods of LOCAL on the bed's node, and everybody else outside."""
    for name, addresses in pods().items():
        bed.add(name, addresses, uid=name)
    remote = [
        address
        for space in NAMESPACES
        for number in range(SIZE)
        for address in addresses_of(space, number)
        if (space, f"p{number}") not in LOCAL
    ]
    for address in (*remote, *OUTSIDE):
        ip(f"-n {bed.outside} addr add {address} dev lo{' nodad' if ':' in address else ''}")
    ip(f"-n {bed.outside} route add 10.0.0.0/8 via {NODE4}")
    ip(f"-n {bed.outside} route add 2001:db8::/32 via {NODE6}")


def ends_of(state: NodeState) -> Iterator[End]:
    """Where packets can come from and go to, of all that a cluster's state holds."""
    local = {address: name for name, both in pods().items() for address in both}
    for endpoint in state.endpoints.values():
        for address in endpoint.addresses:
            if not endpoint.host:
                yield local.get(address, "outside"), address
    for address in (NODE4, NODE6):
        yield "node", address
    for address in (OUTSIDE4, OUTSIDE6, *OUTSIDE):
        yield "outside", address


def loaded(objects: list[Json]) -> list[Change]:
    """The objects of manifests, read and validated like a user's."""
    text = "\n---\n".join(map(json.dumps, objects))
    found = read([("world.yaml", text.encode())])
    assert found.ok, [str(finding) for finding in found.findings]
    return [(key_of(one.object), one) for one in found.objects]


def told(state: NodeState, delta: NodeDelta | None) -> None:
    """What a node hears, as the wire carries it."""
    if delta is not None:
        state.apply(msgspec.msgpack.decode(msgspec.msgpack.encode(delta), type=NodeDelta))


def from_scratch(objects: list[Json]) -> tuple[NodeState, NodeState]:
    """The states of the cluster and of node n1."""
    graph = PolicyGraph()
    graph.apply(loaded(objects))
    node = NodeState()
    told(node, graph.snapshot(HERE, 1))
    return graph.state(), node


def smallest(objects: list[Json], fails: Callable[[list[Json]], bool]) -> list[Json]:
    """A part of `objects` that still fails, and from which no object can be left out."""
    size = max(1, len(objects) // 2)
    while True:
        start, less = 0, False
        while start < len(objects):
            rest = objects[:start] + objects[start + size :]
            if fails(rest):
                objects, less = rest, True
            else:
                start += size
        if size == 1 and not less:
            return objects
        size = max(1, size // 2)
