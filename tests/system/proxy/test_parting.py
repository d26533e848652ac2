"""A pod ends: nobody comes anew, what is under way ends well, and the last bytes arrive."""

from __future__ import annotations

import asyncio
import select
import socket
import threading
import time
from collections.abc import Callable

import pytest
from tests.support.meshapps import READS, allow, ask, echo_http, reads, web_client
from tests.support.proxybed import Bed, Pod, tier

from tsujiban.agent.quiet import until_quiet
from tsujiban.policy.program import Mesh
from tsujiban.proxy import names
from tsujiban.proxy.parting import Parting

pytestmark = pytest.mark.system

PART = b"x" * 65536
STALLED_SECONDS = 1.0  # then all buffers on the way are full


def part(bed: Bed, pod: Pod, parting: Parting) -> None:
    """Have the pod's proxy take leave so far, and hold that."""

    async def work() -> None:
        assert bed.post is not None
        bed.post.part(pod.id, parting)
        await bed.post.enforced(bed.state.revision)

    bed.agent(work())


class Slow:
    """A server that sends the first half of an answer, and the other when `go` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        assert self.go.wait(30)
        connection.sendall(b"full")


def test_requests_are_the_last_of_their_connection_then_nobody_comes_and_what_runs_ends_well(
    bed: Bed,
) -> None:
    web, customer, slow = bed.pod("web", ingress=(tier("default/web"),)), bed.pod("customer"), Slow()
    web.listen(80, echo_http)
    web.listen(81, slow)
    bed.update(**allow(customer, ports=(80, 81), http=READS))
    bed.settle()
    kept, under_way = web_client(customer, web.address, 80), web_client(customer, web.address, 81)
    late = web_client(customer, web.address, 80)
    for connection in (kept, late):
        assert ask(connection, "GET", "/v1")[0] == 200
    under_way.request("GET", "/v1")
    answer = under_way.getresponse()
    assert answer.read(4) == b"half"

    part(bed, web, Parting.CLOSING)
    for connection in (kept, web_client(customer, web.address, 80)):
        connection.request("GET", "/v1")
        last = connection.getresponse()
        assert (last.status, last.getheader("connection")) == (200, "close")
        assert last.read() == b"GET /v1 HTTP/1.1 "
    assert (
        ask(web_client(customer, web.address, 80), "POST", "/v1")[0] == 403
    )  # it is policy still that judges

    part(bed, web, Parting.CLOSED)
    assert reads(customer, web.address, 80) == 0
    assert bed.seen(log="tunnel", verdict="deny").rules == (names.ENDING_RULE,)
    assert ask(late, "GET", "/v1")[0] == 200  # a connection that is there may say the one thing more
    slow.go.set()
    assert answer.read() == b"full"


def quiet(pod: Pod, left: Callable[[], float]) -> bool:
    return asyncio.run(until_quiet(pod.path, left))


class Pourer:
    """A server that says as much as finds room on the way to a client that does not listen, then goes."""

    def __init__(self) -> None:
        self.sent = 0
        self.gone = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        while select.select([], [connection], [], STALLED_SECONDS)[1]:
            self.sent += connection.send(PART)
        connection.close()
        self.gone.set()


def test_the_last_bytes_of_a_pod_arrive_before_its_proxy_ends(bed: Bed) -> None:
    web, customer, pourer = bed.pod("web"), bed.pod("customer"), Pourer()
    web.listen(9000, pourer)
    bed.settle()
    with customer.connect(web.address, 9000, timeout=30) as connection:
        assert pourer.gone.wait(60)
        assert not quiet(web, lambda: 0.0)
        counted: list[int] = []

        def read() -> None:
            counted.append(sum(iter(lambda: len(connection.recv(65536)), 0)))

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        end = time.monotonic() + 60
        assert quiet(web, lambda: end - time.monotonic())
        if web.mesh is Mesh.SIDECAR:
            web.stop_envoy()
        else:
            bed.drop("web")
        thread.join(30)
    assert counted == [pourer.sent]


def test_open_connections_that_say_nothing_keep_no_pod_from_ending(bed: Bed) -> None:
    web, customer = bed.pod("web"), bed.pod("customer")
    web.listen(80, echo_http)
    bed.settle()
    connection = web_client(customer, web.address, 80)
    assert ask(connection, "GET", "/")[0] == 200
    end = time.monotonic() + 60
    assert quiet(web, lambda: end - time.monotonic())
