"""A pod that fills the node's table of connections, in which all pods of the node have theirs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest
from tests.support.kernelbed import Bed, echo
from tests.support.wait import PATIENCE

from tsujiban.kernel.apply import KernelPost
from tsujiban.kernel.conntrack import Conntrack
from tsujiban.kernel.diff import remove
from tsujiban.kernel.nflog import KernelEvent, KernelLog
from tsujiban.kernel.nft import Nft
from tsujiban.kernel.room import CROWDED, TABLE, Room
from tsujiban.policy.program import Action, NodeState, PolicyProgram, Rule

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]
MOST = 40  # connections that fit; of half of them, each of the two pods has a half


@pytest.fixture
def room(bed: Bed, post: KernelPost) -> Iterator[Room]:
    state = NodeState()
    free = (Rule(id="free/0", action=Action.ALLOW),)
    state.policies["free"] = PolicyProgram(id="free", ingress=free, egress=free)
    for pod in bed.pods.values():
        state.endpoints[f"default/{pod.name}"] = pod.program(profiles=("free",))
    assert post.sync(state, 1).problems == ()
    made = bed.in_node(lambda: Room(most=MOST))
    yield made
    made.close()
    with bed.in_node(Nft) as nft:
        nft.run(remove(TABLE))


@pytest.mark.parametrize("version", [4, 6])
def test_a_pod_that_holds_many_connections_to_the_api_leaves_the_nodes_ports_to_others(
    bed: Bed, post: KernelPost, room: Room, version: int
) -> None:
    """They all leave under the node's one address, which has some 64 000 ports for one server's."""
    api = bed.address("outside", version)
    port, most = 6443, 5
    post.settings = replace(post.settings, api_endpoints=((api, port),), api_connections=most)
    state = NodeState()
    free = (Rule(id="free/0", action=Action.ALLOW),)
    state.policies["free"] = PolicyProgram(id="free", ingress=free, egress=free)
    for pod in bed.pods.values():
        state.endpoints[f"default/{pod.name}"] = pod.program(profiles=("free",))
    assert post.sync(state, 2).problems == ()
    with bed.listen("outside", port), bed.listen("outside", 80), ExitStack() as stack:
        held = [stack.enter_context(bed.make("a", version, socket.SOCK_STREAM)) for _ in range(most)]
        for one in held:
            one.connect((api, port))
        event = asyncio.run(_denied(bed, post, api, port))
        assert (event.verdict, event.packet.source) == (Action.DENY, bed.address("a", version))
        assert bed.tcp("a", api, 80) == "open"
        assert bed.tcp("b", api, port) == "open"
        assert post.verify(thorough=True) == ()
        _end(bed, bed.address("a", version))
        assert bed.tcp("a", api, port) == "open"


def _end(bed: Bed, source: str) -> None:
    """All connections from there end."""
    conntrack = bed.in_node(Conntrack)
    for connection in conntrack.connections():
        if connection.source == source:
            conntrack.end(connection)
    conntrack.close()


@contextmanager
def _held(bed: Bed, version: int, *counts: int) -> Iterator[Iterator[list[socket.socket]]]:
    """So many more connections from `a` to `b`, each time."""
    with ExitStack() as stack:

        def more(count: int) -> list[socket.socket]:
            made = [stack.enter_context(bed.make("a", version, socket.SOCK_STREAM)) for _ in range(count)]
            for one in made:
                one.connect((bed.address("b", version), 80))
            return made

        yield map(more, counts)


@pytest.mark.parametrize("version", [4, 6])
def test_a_pod_that_fills_the_table_of_connections_fills_its_own_part(
    bed: Bed, post: KernelPost, room: Room, version: int
) -> None:
    a, b = bed.address("a", version), bed.address("b", version)
    crowded = frozenset({bed.pods["a"].interface})
    with (
        bed.listen("a", 80),
        bed.listen("b", 80) as listener,
        _held(bed, version, MOST // 4 + 3, MOST // 4 + 3) as held,
    ):
        first = next(held)[0]
        server = echo(listener)[0]
        assert room.look(post.owners()) == frozenset()  # above its share, but there is room
        assert next(held)
        assert room.look(post.owners()) == crowded

        event = asyncio.run(_denied(bed, post, b))
        assert (event.verdict, event.packet.source, event.packet.destination) == (Action.DENY, a, b)
        assert bed.tcp("b", a, 80, wait=PATIENCE) == "open"
        first.sendall(b"still there?")
        assert server.recv(100) == b"still there?"
        server.close()
        assert room.look(post.owners()) == crowded

        _end(bed, a)
        assert room.look(post.owners()) == frozenset()
        assert bed.tcp("a", b, 80, wait=PATIENCE) == "open"


async def _denied(bed: Bed, post: KernelPost, address: str, port: int = 80) -> KernelEvent:
    """What is logged of a connection of a's that gets no answer."""
    log = await asyncio.to_thread(lambda: bed.in_node(lambda: KernelLog(5, post.owners, post.long_ids)))
    try:
        assert await asyncio.to_thread(bed.tcp, "a", address, port, wait=0.3) == "silence"
        async with asyncio.timeout(PATIENCE):
            async for event in log.events():
                if event.rule == CROWDED:  # others may be denied what their kernels say by themselves
                    return event
    finally:
        log.close()
    raise AssertionError


def test_what_an_agent_before_has_refused_is_refused_no_more(bed: Bed, post: KernelPost, room: Room) -> None:
    b = bed.address("b", 4)
    with bed.listen("b", 80), _held(bed, 4, MOST // 2 + 3) as held:
        assert next(held)
        assert room.look(post.owners()) != frozenset()
        _end(bed, bed.address("a", 4))
        another = bed.in_node(lambda: Room(most=MOST))
        assert bed.tcp("a", b, 80, wait=0.3) == "silence"
        assert another.look(post.owners()) == frozenset()
        assert bed.tcp("a", b, 80, wait=PATIENCE) == "open"
        another.close()
