"""Both ends of a connection that policy ends hear of it at once, by a reset.

The kernel ends a connection by dropping its packets (`kernel.conntrack`), which tells nobody: a client, or
the proxy that keeps a tunnel for the next request, would wait until some timer of its own has run out. So
before that, the socket that is one end, in a pod of this node, is destroyed, and its kernel sends the other
end, wherever that is, a reset that it believes. It is a courtesy: what is denied is denied by the entry that
goes, whatever a pod's namespace says, and where no socket is found the end is a silent one.

Only what was open is told. A packet that would open a connection is still dropped, or answered as is
configured: nobody learns from here what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import structlog

from tsujiban.agent.kernelside import HangUp
from tsujiban.kernel.conntrack import Connection, Conntrack
from tsujiban.kernel.netlink import InterruptedDumpError
from tsujiban.policy.program import EndpointProgram, NodeState
from tsujiban.proxy import sockdiag
from tsujiban.proxy.sockdiag import End
from tsujiban.resources.names import link_namespace
from tsujiban.resources.protocols import TCP
from tsujiban.supervise.netns import call_in, namespace_path

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Share:
    """A pod's part of the connections that end: those that came to it, and those that it has opened."""

    endpoint: EndpointProgram
    came: list[Connection] = field(default_factory=list)
    went: list[Connection] = field(default_factory=list)


def of_cluster(cluster: str) -> HangUp:
    """What resets the connections of this cluster's pods on this node. It never raises."""
    return of_pods(lambda endpoint: namespace_path(link_namespace(cluster, endpoint.interface)))


def of_pods(namespace_of: Callable[[EndpointProgram], str]) -> HangUp:
    """The same; `namespace_of` tells the path of a pod's network namespace."""

    def hang_up(state: NodeState, connections: Sequence[Connection]) -> None:
        for share in shares(_local(state), connections):
            try:
                _reset(namespace_of(share.endpoint), share)
            except (OSError, InterruptedDumpError) as error:  # the pod has gone, say, and its sockets with it
                reason = str(error) or type(error).__name__
                log.info("denied connections end without a word", pod=share.endpoint.id, reason=reason)

    return hang_up


def _local(state: NodeState) -> dict[str, EndpointProgram]:
    """The pods of this node by their addresses."""
    pods = (one for one in state.endpoints.values() if one.interface and not one.host)
    return {address: endpoint for endpoint in pods for address in endpoint.addresses}


def shares(pods: Mapping[str, EndpointProgram], connections: Iterable[Connection]) -> list[Share]:
    """The TCP connections by the pods that are their ends; `pods` by address. Pure."""
    found: dict[str, Share] = {}
    for connection in connections:
        if connection.protocol != TCP:
            continue
        if (server := pods.get(connection.destination)) is not None:
            found.setdefault(server.id, Share(server)).came.append(connection)
        if (client := pods.get(connection.source)) is not None:
            found.setdefault(client.id, Share(client)).went.append(connection)
    return list(found.values())


def _reset(namespace: str, share: Share) -> None:
    # a client's socket knows the address that it asked for, not what the node has made of it
    ends = {((one.source, one.source_port), one.asked) for one in share.went}
    if share.came:
        ends |= call_in(namespace, lambda: _served(share.came))
    sockdiag.destroy_open(namespace, ends)


def _served(came: Iterable[Connection]) -> set[tuple[End, End]]:
    """Both ends of the server's sockets, in the pod whose namespace this thread is in: its proxy's, when they
    were led there, or who listens where they were sent. Raises OSError, InterruptedDumpError."""
    with closing(Conntrack()) as conntrack:
        led = {
            (one.asked, one.source, one.source_port): (one.destination, one.destination_port)
            for one in conntrack.connections()
            if one.protocol == TCP
        }
    found = set()
    for one in came:
        near = (one.destination, one.destination_port)
        found.add((led.get((near, one.source, one.source_port), near), (one.source, one.source_port)))
    return found
