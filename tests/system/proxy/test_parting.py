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
from tests.support.wait import PATIENCE

from tsujiban.agent.quiet import until_quiet
from tsujiban.proxy import names
from tsujiban.proxy.parting import Parting

pytestmark = pytest.mark.system

PART = b"x" * 65536
CHUNK = b"%x\r\n%s\r\n" % (len(PART), PART)
STALLED_SECONDS = 3.0  # then all buffers on the way are full, and not just a machine that stands still


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
        assert self.go.wait(PATIENCE)
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
    """A server whose answer is as long as finds room on the way to a client that does not listen."""

    def __init__(self) -> None:
        self.chunks = 1
        self.stalled = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        connection.recv(65536)
        left = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK
        connection.setblocking(False)
        while select.select([], [connection], [], STALLED_SECONDS)[1]:
            left = left[connection.send(left) :]
            if not left:
                left, self.chunks = CHUNK, self.chunks + 1
        self.stalled.set()
        connection.setblocking(True)
        connection.sendall(left + b"0\r\n\r\n")


def test_a_proxy_is_not_done_while_a_client_has_not_taken_what_it_is_told(bed: Bed) -> None:
    web, customer, pourer = bed.pod("web", ingress=(tier("default/web"),)), bed.pod("customer"), Pourer()
    web.listen(80, pourer)
    bed.update(**allow(customer, http=READS))
    bed.settle()
    connection = web_client(customer, web.address, 80)
    connection.request("GET", "/v1")
    assert pourer.stalled.wait(PATIENCE)
    end = time.monotonic() + 1.0
    assert not quiet(web, lambda: end - time.monotonic())
    assert len(connection.getresponse().read()) == pourer.chunks * len(PART)
    assert quiet(web, lambda: 60.0)


def test_open_connections_that_say_nothing_keep_no_pod_from_ending(bed: Bed) -> None:
    web, customer = bed.pod("web"), bed.pod("customer")
    web.listen(80, echo_http)
    bed.settle()
    connection = web_client(customer, web.address, 80)
    assert ask(connection, "GET", "/")[0] == 200
    end = time.monotonic() + PATIENCE
    assert quiet(web, lambda: end - time.monotonic())
