"""Service addresses on real packets: translated before policy, spread, refused, led back."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest
from tests.support.kernelbed import Bed, ip

from tsujiban.kernel.apply import KernelPost
from tsujiban.policy.program import (
    Action,
    Backend,
    NodeState,
    PolicyProgram,
    PortRange,
    Ports,
    Rule,
    ServicePort,
    ServiceProgram,
    Side,
    Tier,
)

pytestmark = pytest.mark.system

VERSIONS = (4, 6)
SHORT = 0.2
VIRTUAL = {4: "10.96.0.20", 6: "fd96::20"}


def service(bed: Bed, *backends: tuple[str, int], protocol: int = 6) -> ServiceProgram:
    ports = ServicePort(
        protocol=protocol,
        port=80,
        backends=tuple(
            Backend(address=bed.address(who, version), port=port)
            for who, port in backends
            for version in VERSIONS
        ),
    )
    return ServiceProgram(id="default/web", addresses=tuple(VIRTUAL.values()), ports=(ports,))


def world(bed: Bed, *services: ServiceProgram, allowed: tuple[int, int] = (0, 65535)) -> NodeState:
    """Every pod takes and sends what goes to the ports that are allowed."""
    made = NodeState(services={one.id: one for one in services})
    first, last = allowed
    rule = Side(ports=Ports(ranges=(PortRange(first=first, last=last),)))
    made.policies["p"] = PolicyProgram(
        id="p",
        ingress=(Rule(id="p/ingress/0", action=Action.ALLOW, dst=rule),),
        egress=(Rule(id="p/egress/0", action=Action.ALLOW, dst=rule),),
    )
    tiers = (Tier(name="default", default_action=Action.DENY, default_id="_tier/default", policies=("p",)),)
    for pod in bed.pods.values():
        program = pod.program(ingress=tiers, egress=tiers)
        made.endpoints[program.id] = program
    return made


def answer(bed: Bed, who: str, port: int, text: bytes) -> Callable[[], None]:
    """A TCP server that sends `text` and the client's address; returns what stops it."""
    listener = bed.listen(who, port)

    def run() -> None:
        while True:
            try:
                made, peer = listener.accept()
            except OSError:
                return
            made.sendall(text + b" " + peer[0].encode())
            made.close()

    thread = threading.Thread(target=run)
    thread.start()

    def stop() -> None:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()

    return stop


def ask(bed: Bed, who: str, address: str, port: int) -> str:
    with bed.make(who, 6 if ":" in address else 4, socket.SOCK_STREAM) as made:
        made.connect((address, port))
        return made.makefile("rb").read().decode().removeprefix("::ffff:").replace("::ffff:", "")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("client", ["a", "node"])
def test_an_address_leads_to_the_backend(bed: Bed, post: KernelPost, version: int, client: str) -> None:
    """And policy judges the backend's port, and the backend sees who asks."""
    stop = answer(bed, "b", 8080, b"b")
    try:
        post.sync(world(bed, service(bed, ("b", 8080)), allowed=(8080, 8080)), 1)
        assert ask(bed, client, VIRTUAL[version], 80) == f"b {bed.address(client, version)}"
        post.sync(world(bed, service(bed, ("b", 8080)), allowed=(80, 80)), 2)
        assert bed.tcp(client, VIRTUAL[version], 80, wait=SHORT) == "silence"
    finally:
        stop()


@pytest.mark.parametrize("version", VERSIONS)
def test_connections_are_spread_and_follow_changes(bed: Bed, post: KernelPost, version: int) -> None:
    stops = [answer(bed, "a", 8080, b"a"), answer(bed, "b", 8081, b"b")]
    try:
        post.sync(world(bed, service(bed, ("a", 8080), ("b", 8081))), 1)
        assert {ask(bed, "node", VIRTUAL[version], 80)[0] for _ in range(64)} == {"a", "b"}
        change = post.sync(world(bed, service(bed, ("b", 8081))), 2)
        assert not change.rebuilt
        assert {ask(bed, "node", VIRTUAL[version], 80)[0] for _ in range(16)} == {"b"}
    finally:
        for stop in stops:
            stop()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("client", ["a", "node"])
def test_what_leads_nowhere_is_refused(bed: Bed, post: KernelPost, version: int, client: str) -> None:
    post.sync(world(bed, service(bed), service(bed, protocol=17)), 1)
    assert bed.tcp(client, VIRTUAL[version], 80) == "refused"  # no ready backend
    assert bed.tcp(client, VIRTUAL[version], 81) == "refused"  # no such port
    assert bed.udp(client, VIRTUAL[version], 80) == ("refused" if client == "a" else "EPERM")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pod_reaches_itself(bed: Bed, post: KernelPost, version: int) -> None:
    stop = answer(bed, "b", 8080, b"b")
    try:
        post.sync(world(bed, service(bed, ("b", 8080)), allowed=(1, 1)), 1)
        assert ask(bed, "b", VIRTUAL[version], 80).startswith("b ")
        assert bed.tcp("a", VIRTUAL[version], 80, wait=SHORT) == "silence"
    finally:
        stop()


@pytest.mark.parametrize("version", VERSIONS)
def test_datagrams_go_there_and_back(bed: Bed, post: KernelPost, version: int) -> None:
    post.sync(world(bed, service(bed, ("b", 8080), protocol=17)), 1)
    with (
        bed.make("b", version, socket.SOCK_DGRAM) as server,
        bed.make("a", version, socket.SOCK_DGRAM) as client,
    ):
        server.bind((bed.address("b", version), 8080))
        client.connect((VIRTUAL[version], 80))
        client.send(b"question")
        data, peer = server.recvfrom(100)
        assert (data, peer[0]) == (b"question", bed.address("a", version))
        server.sendto(b"answer", peer)
        assert client.recv(100) == b"answer"


def test_the_nodes_own_addresses_are_left_alone(bed: Bed, post: KernelPost) -> None:
    dns = ServiceProgram(
        id="kube-system/dns", addresses=("10.96.0.10",), ports=(ServicePort(protocol=17, port=53),)
    )
    post.sync(world(bed, dns), 1)
    with bed.make("node", 4, socket.SOCK_DGRAM) as server, bed.make("a", 4, socket.SOCK_DGRAM) as client:
        ip(f"-n {bed.node} addr add 10.96.0.10/32 dev lo")
        try:
            server.bind(("10.96.0.10", 53))
            client.connect(("10.96.0.10", 53))
            client.send(b"question")
            data, peer = server.recvfrom(100)
            server.sendto(b"answer", peer)
            assert (data, client.recv(100)) == (b"question", b"answer")
            assert bed.udp("a", "10.96.0.10", 54, wait=SHORT) == "silence"
        finally:
            ip(f"-n {bed.node} addr del 10.96.0.10/32 dev lo")
