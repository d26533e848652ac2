"""Connections that policy ends, in a real kernel: both ends hear of it, whatever was translated between."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator

import pytest
from tests.support.kernelbed import Bed, echo, readable
from tests.support.wait import PATIENCE

from tsujiban.agent import hangups
from tsujiban.kernel.apply import KernelPost
from tsujiban.kernel.conntrack import Connection, Conntrack
from tsujiban.kernel.nft import Nft
from tsujiban.kernel.redirect import Redirect, apply
from tsujiban.kernel.render import Settings
from tsujiban.policy.program import (
    Action,
    Backend,
    NodeState,
    PolicyProgram,
    Rule,
    ServicePort,
    ServiceProgram,
)
from tsujiban.supervise.netns import namespace_path

pytestmark = pytest.mark.system

VERSIONS = (4, 6)
SERVICE = {4: "10.96.0.20", 6: "fd96::20"}
PROXY = 15006
DENIED, KEPT = 80, 81


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    made = Bed(("a", "b"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def state(bed: Bed) -> Iterator[NodeState]:
    """Everything is allowed, and in force; a service leads to b."""
    free = (Rule(id="free/0", action=Action.ALLOW),)
    made = NodeState(policies={"free": PolicyProgram(id="free", ingress=free, egress=free)})
    for pod in bed.pods.values():
        made.endpoints[f"default/{pod.name}"] = pod.program(profiles=("free",))
    backends = tuple(Backend(address=address, port=DENIED) for address in bed.pods["b"].addresses)
    ports = (ServicePort(protocol=6, port=8080, backends=backends),)
    made.services["default/b"] = ServiceProgram(
        id="default/b", addresses=tuple(SERVICE.values()), ports=ports
    )
    post = bed.in_node(lambda: KernelPost(Settings(), Nft()))
    assert post.sync(made, 1).problems == ()
    yield made
    post.close()


@pytest.fixture
def deny(bed: Bed, state: NodeState) -> Iterator[Callable[[], int]]:
    """Ends what goes to the port DENIED, as the agent does; how many connections that were."""
    hang_up = hangups.of_pods(
        lambda endpoint: namespace_path(bed.namespace(endpoint.id.removeprefix("default/")))
    )
    conntrack = bed.in_node(Conntrack)
    for one in conntrack.connections():
        conntrack.end(one)

    def rule(connection: Connection) -> str | None:
        return "no" if connection.destination_port == DENIED else None

    yield lambda: len(conntrack.end_denied(None, rule, lambda found: hang_up(state, found)))
    conntrack.close()


def pair(bed: Bed, who: str, to: tuple[str, int], listener: socket.socket) -> tuple[socket.socket, ...]:
    """Both ends of a connection over which something has passed."""
    client = bed.make(who, 6 if ":" in to[0] else 4, socket.SOCK_STREAM)
    client.connect(to)
    server = echo(listener)[0]
    server.settimeout(PATIENCE)
    client.sendall(b"?")
    assert server.recv(1) == b"?"
    return client, server


def told(end: socket.socket) -> bool:
    """Whether it hears of its end. Raises TimeoutError when it hears nothing."""
    with end, pytest.raises((ConnectionResetError, ConnectionAbortedError)):
        end.recv(1)
    return True


def goes_on(*ends: socket.socket) -> bool:
    for one, other in (ends, reversed(ends)):
        one.sendall(b"!")
        assert other.recv(1) == b"!"
    for one in ends:
        one.close()
    return True


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("who", ["a", "outside", "node"])
def test_both_ends_of_what_is_denied_are_told_and_nobody_else(
    bed: Bed, deny: Callable[[], int], who: str, version: int
) -> None:
    b = bed.address("b", version)
    with bed.listen("b", DENIED) as denied, bed.listen("b", KEPT) as kept:
        ended, other = pair(bed, who, (b, DENIED), denied), pair(bed, who, (b, KEPT), kept)
        assert deny() == 1
        assert all(told(one) for one in ended)
        assert goes_on(*other)
        assert goes_on(*pair(bed, who, (b, DENIED), denied))  # who listens there goes on


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_outside_is_told_of_a_pod_s_connection(
    bed: Bed, deny: Callable[[], int], version: int
) -> None:
    with bed.listen("outside", DENIED) as listener:
        ended = pair(bed, "a", (bed.address("outside", version), DENIED), listener)
        assert deny() == 1
        assert all(told(one) for one in ended)


@pytest.mark.parametrize("version", VERSIONS)
def test_through_a_service_s_address(bed: Bed, deny: Callable[[], int], version: int) -> None:
    with bed.listen("b", DENIED) as listener:
        ended = pair(bed, "a", (SERVICE[version], 8080), listener)
        assert deny() == 1
        assert all(told(one) for one in ended)


@pytest.mark.parametrize("version", VERSIONS)
def test_where_the_server_s_proxy_takes_it(bed: Bed, deny: Callable[[], int], version: int) -> None:
    """The redirect in the pod is one that the node knows nothing of; to the proxy all ports are one."""
    path, b = namespace_path(bed.pods["b"].namespace), bed.address("b", version)
    apply(path, Redirect(proxy_uid=200_001))
    try:
        # root's socket stands in for the proxy, and its answers would be taken for somebody else's
        with bed.inside("b", Nft) as nft:
            nft.run("flush chain inet tsujiban-redirect output-filter\n")
        with bed.listen("b", PROXY) as proxy:
            ended = pair(bed, "a", (b, DENIED), proxy)
            other = pair(bed, "a", (b, KEPT), proxy)
            assert deny() == 1
            assert all(told(one) for one in ended)
            assert goes_on(*other)
    finally:
        with bed.inside("b", Nft) as nft:
            nft.run("delete table inet tsujiban-redirect\n")


def test_a_pod_that_has_gone_stops_nothing(bed: Bed, state: NodeState) -> None:
    with bed.listen("b", DENIED) as listener:
        client, server = pair(bed, "a", (bed.address("b", 4), DENIED), listener)
        hang_up = hangups.of_pods(lambda _: "/run/netns/is-not-there")
        conntrack = bed.in_node(Conntrack)
        ended = conntrack.end_denied(
            None,
            lambda one: "no" if one.destination_port == DENIED else None,
            lambda found: hang_up(state, found),
        )
        conntrack.close()
        assert len(ended) == 1
        client.sendall(b"anybody?")
        assert not readable(server, 0.2)
        for end in (client, server):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()
