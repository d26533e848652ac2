"""One Envoy for all pods of a node: no pod gains anything from another's being there, or loses by it."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import threading
from functools import partial
from typing import Any

import pytest
from tests.support.meshapps import READS, Greeter, Pinger, allow, echo_http, reads
from tests.support.proxybed import Bed, run, tier, until

from tsujiban.policy.program import EndpointProgram, Http, Mesh
from tsujiban.proxy import filters
from tsujiban.proxy.site import PROXY_MARK, NodeSite
from tsujiban.proxy.sockdiag import count_of
from tsujiban.supervise.netns import listens_on

pytestmark = pytest.mark.system

ATTEMPTS = 10


def unhashed(key: str, text: str, **more: Any) -> dict[str, Any]:
    """What `filters.state_value` must never write: a value that is no part of a pool's hash."""
    value = hashed(key, text, **more)
    return {**value, "factory_key": "envoy.string"} if "factory_key" in value else value


hashed = filters.state_value


@pytest.mark.parametrize("mesh", [Mesh.NODE, Mesh.SIDECAR], ids=["beside it", "with a sidecar"])
def test_no_pod_speaks_over_another_pods_connection(node_bed: Bed, mesh: Mesh) -> None:
    node_bed.workers = 1  # which share no connections
    web = node_bed.pod("web", mesh=mesh, ingress=(tier("default/web"),))
    customer, thief = node_bed.pod("customer"), node_bed.pod("thief")
    web.listen(80, echo_http)
    node_bed.update(**allow(customer, http=READS))
    node_bed.settle()
    for _ in range(ATTEMPTS):
        assert reads(customer, web.address, 80) == 200
        assert reads(thief, web.address, 80) == 0
    node_bed.seen(log="http", verdict="allow", peer=customer.identity, source=customer.address)
    node_bed.seen(log="tunnel", verdict="deny", peer=thief.identity, source=thief.address)
    for event in node_bed.events:
        if event.direction == "ingress":
            owner = {customer.identity: customer.address, thief.identity: thief.address}[event.peer]
            assert event.source == owner


def test_the_test_above_would_notice(node_bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """With values that have no hash one pod really does get another's rights, and the record is of the
    other pod: this is what the hash is for, and what the test above can see."""
    monkeypatch.setattr(filters, "state_value", unhashed)
    node_bed.workers = 1
    web = node_bed.pod("web", ingress=(tier("default/web"),))
    customer, thief = node_bed.pod("customer"), node_bed.pod("thief")
    web.listen(80, echo_http)
    node_bed.update(**allow(customer, http=READS))
    node_bed.settle()
    assert reads(customer, web.address, 80) == 200
    assert reads(thief, web.address, 80) == 200


def test_what_the_envoy_holds_for_a_pod_is_told_by_its_user(node_bed: Bed) -> None:
    """Both ends of what it passes on; not the application's own sockets."""
    web, customer = node_bed.pod("web"), node_bed.pod("customer")
    web.listen(9000, Greeter())
    node_bed.settle()
    assert node_bed.node_envoy is not None
    uid = node_bed.node_envoy.uid
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            one = stack.enter_context(customer.connect(web.address, 9000))
            assert one.recv(100) == b"220 welcome\r\n"
        # five with the application, and a tunnel (one for each worker at most)
        assert 5 < count_of(customer.path, uid) <= 10
        assert 5 < count_of(web.path, uid) <= 10
    until("they have ended", lambda: count_of(web.path, uid) <= 5)


def test_pods_come_and_go_beside_a_connection(node_bed: Bed) -> None:
    web, customer = node_bed.pod("web"), node_bed.pod("customer")
    web.listen(9000, Greeter())
    node_bed.settle()
    connection = customer.connect(web.address, 9000)
    assert connection.recv(100) == b"220 welcome\r\n"
    pinger = Pinger(connection)
    for number in range(4):
        node_bed.pod(f"guest-{number}")
        node_bed.settle()
    for number in range(4):
        node_bed.drop(f"guest-{number}")
        assert node_bed.update() == ()
    node_bed.drained()
    assert pinger.stop() == ""


def test_a_namespace_that_is_not_there_harms_its_own_pod_only(node_bed: Bed) -> None:
    web, customer = node_bed.pod("web", ingress=(tier("default/web"),)), node_bed.pod("customer")
    web.listen(80, echo_http)
    node_bed.update(**allow(customer, http=READS))
    node_bed.settle()

    ghost = EndpointProgram(id="default/ghost", node="node-1", addresses=("10.244.9.9",), mesh=Mesh.NODE)
    svid = node_bed.issue(node_bed.identity("ghost"))

    async def add() -> None:
        assert node_bed.post is not None
        node_bed.post.set_secret(ghost.id, svid)
        node_bed.post.add_shared(ghost.id, f"/run/netns/{node_bed.prefix}-ghost")

    node_bed.agent(add())
    refused = node_bed.update(endpoints={ghost.id: ghost})
    assert refused
    assert all(one.startswith("default/ghost: Envoy refused a listener") for one in refused)
    assert reads(customer, web.address, 80) == 200
    node_bed.update(**allow(customer, http=Http(methods=("POST",))))
    assert reads(customer, web.address, 80) == 403

    async def remove() -> None:
        assert node_bed.post is not None
        await node_bed.post.remove(ghost.id)

    node_bed.agent(remove())
    assert node_bed.update(endpoints={ghost.id: None}, **allow(customer, http=READS)) == ()
    assert reads(customer, web.address, 80) == 200


def test_when_it_dies_its_pods_are_closed_and_it_takes_up_all_of_them_again(node_bed: Bed) -> None:
    web, customer = node_bed.pod("web"), node_bed.pod("customer")
    plain = node_bed.pod("plain", mesh=Mesh.NONE)
    web.listen(80, echo_http)
    plain.listen(80, echo_http)
    node_bed.settle()
    assert reads(customer, web.address, 80) == 200
    assert reads(customer, plain.address, 80) == 200
    customer.stop_envoy()
    for source, target in ((customer, web), (customer, plain), (plain, web)):
        with pytest.raises(OSError, match="refused"):
            source.connect(target.address, 80)
    customer.start_envoy()
    until("it is back", partial(_reads_both, customer, (web.address, plain.address)))


def _reads_both(pod: Any, addresses: tuple[str, str]) -> bool:
    return all(reads(pod, address, 80) == 200 for address in addresses)


def test_one_pod_without_a_key_keeps_no_other_waiting_when_it_starts(
    node_bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NodeSite, "fetch_timeout", "600s")  # no other waits until time is up
    web, customer = node_bed.pod("web"), node_bed.pod("customer")
    web.listen(80, echo_http)
    node_bed.settle()
    bare = node_bed.pod("bare", mesh=Mesh.NONE)
    keyless = EndpointProgram(id=bare.id, node="node-1", addresses=(bare.address,), mesh=Mesh.NODE)

    async def add() -> None:
        assert node_bed.post is not None
        node_bed.post.add_shared(keyless.id, bare.path)

    node_bed.agent(add())
    node_bed.update(endpoints={keyless.id: keyless})
    customer.stop_envoy()
    customer.start_envoy()
    until("it is back", lambda: reads(customer, web.address, 80) == 200)


def test_no_pod_can_set_the_mark_that_its_redirect_lets_pass(node_bed: Bed) -> None:
    pod = node_bed.pod("pod")
    node_bed.settle()
    attempt = (
        "import errno, socket\n"
        "with socket.socket() as one:\n"
        "    try:\n"
        f"        one.setsockopt(socket.SOL_SOCKET, 36, {PROXY_MARK})\n"
        "    except OSError as error:\n"
        "        print(errno.errorcode[error.errno])\n"
    )
    without_rights = ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
    inside = ["ip", "netns", "exec", pod.namespace, *without_rights]
    assert run(*inside, sys.executable, "-c", attempt).strip() == "EPERM"


def test_a_pod_that_fills_its_memory_loses_its_own_tunnels_and_nobody_else_s(node_bed: Bed) -> None:
    """A server that reads nothing lets 16 MB pile up for each of its clients' connections; two pods that are
    of one mind could fill the memory of all the others' proxy."""
    node_bed.heap = 128 << 20
    sink, filler, web, customer = (node_bed.pod(name) for name in ("sink", "filler", "web", "customer"))
    over = threading.Event()

    def read_nothing(_: socket.socket) -> None:
        over.wait()

    sink.listen(9000, read_nothing)
    web.listen(9000, Greeter())
    node_bed.settle()
    beside = customer.connect(web.address, 9000)
    assert beside.recv(100) == b"220 welcome\r\n"
    pinger = Pinger(beside)
    held: list[socket.socket] = []

    def pour() -> bool:
        """Fill what is open, and open more when nothing has room for 0.2 s; whether one had to go."""
        roomy = select.select([], held, [], 0.2)[1]
        for one in roomy:
            with contextlib.suppress(OSError):
                one.send(bytes(1_000_000))
        if not roomy and len(held) < 60:
            held.append(filler.connect(sink.address, 9000))
            held[-1].setblocking(False)
        return any(map(_ended, held))

    until("60 connections do not have all the room that they want", pour)
    assert pinger.stop() == ""
    with customer.connect(web.address, 9000) as another:
        assert another.recv(100) == b"220 welcome\r\n"
    over.set()
    for one in held:
        one.close()


def _ended(connection: socket.socket) -> bool:
    """Whether a connection of which nothing comes has ended."""
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_it_answers_only_its_own_user(node_bed: Bed) -> None:
    node_bed.pod("pod")
    node_bed.settle()
    assert node_bed.node_envoy is not None
    path = node_bed.node_envoy.socket_path
    assert path.stat().st_uid == node_bed.node_envoy.uid
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.stat(path.parent).st_mode & 0o777 == 0o700


def test_a_namespace_remade_at_the_same_path_is_bound_again(node_bed: Bed) -> None:
    """Envoy holds the listeners of the old one, and no update moves them: the pod is closed, not open. It
    is removed and added, as the agent does (`NodeProxy.join`), and works; nobody else notices."""
    web, customer, other = (node_bed.pod(name) for name in ("web", "customer", "other"))
    web.listen(80, echo_http)
    other.listen(9000, Greeter())
    node_bed.settle()
    beside = customer.connect(other.address, 9000)
    assert beside.recv(100) == b"220 welcome\r\n"
    pinger = Pinger(beside)
    assert listens_on(web.path, 15001)
    node_bed.remake(web)
    assert node_bed.update() == ()
    assert not listens_on(web.path, 15001)
    web.listen(80, echo_http)
    assert reads(customer, web.address, 80) == 0
    node_bed.rejoin(web)
    until("it listens", web.listening)
    assert reads(customer, web.address, 80) == 200
    assert pinger.stop() == ""
