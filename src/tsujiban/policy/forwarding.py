"""Which host endpoints a packet crosses that a node forwards from or to its own workloads.

Calico's `applyOnForward`: such a policy of a host endpoint also judges what only passes through
the node. Kept apart from the walk over programs because it is about the way of a packet, which
nothing else in the evaluator asks. Source: Calico's documentation, "Apply policy to forwarded
traffic" and HostEndpoint (`interfaceName: "*"`).

An endpoint with interface `*` stands for every interface that no other endpoint of its node
names, those of the workloads among them. Which of several named interfaces a packet takes is not
known here: it has to be allowed by all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from tsujiban.policy.program import Direction, EndpointProgram, NodeState, PolicyProgram

ANY_INTERFACE = "*"

Crossing = tuple[EndpointProgram, Direction]


class Guards:
    """The host endpoints of one node that judge forwarded traffic, by the side they stand on."""

    __slots__ = ("outer", "workload")

    def __init__(self, hosts: list[EndpointProgram]) -> None:
        named = [host for host in hosts if host.interface != ANY_INTERFACE]
        wild = [host for host in hosts if host.interface == ANY_INTERFACE]
        self.outer = tuple(named or wild)  # towards other machines
        self.workload = tuple(wild)  # towards the node's own workloads


def guards_by_node(state: NodeState) -> dict[str, Guards]:
    """The nodes whose host endpoints have a policy on forwarded traffic."""
    hosts: dict[str, list[EndpointProgram]] = defaultdict(list)
    forwarding: set[str] = set()
    for endpoint in state.endpoints.values():
        if not endpoint.host:
            continue
        hosts[endpoint.node].append(endpoint)
        names = (name for tier in (*endpoint.ingress, *endpoint.egress) for name in tier.policies)
        if any((policy := state.policies.get(name)) is None or judges_forwarded(policy) for name in names):
            forwarding.add(endpoint.node)
    return {node: Guards(sorted(hosts[node], key=lambda host: host.id)) for node in forwarding}


def judges_forwarded(policy: PolicyProgram) -> bool:
    """Whether a policy of a host endpoint is enforced on forwarded traffic."""
    return policy.apply_on_forward and not policy.staged


def crossings(
    guards: Mapping[str, Guards], source: EndpointProgram | None, destination: EndpointProgram | None
) -> Iterator[Crossing]:
    """The host endpoints on the way of a packet, in order. A packet from or to a node itself is
    not forwarded there; an end of None is elsewhere."""
    nodes = dict.fromkeys(end.node for end in (source, destination) if end is not None)
    for node in nodes:
        found = guards.get(node)
        if found is None or any(
            end is not None and end.host and end.node == node for end in (source, destination)
        ):
            continue
        from_here = source is not None and source.node == node
        to_here = destination is not None and destination.node == node
        for host in found.workload if from_here else found.outer:
            yield host, Direction.INGRESS
        for host in found.workload if to_here else found.outer:
            yield host, Direction.EGRESS
