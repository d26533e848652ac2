"""Connections that are not HTTP, or do not say what they are."""

from __future__ import annotations

import fcntl
import socket
import ssl
import sys
import termios
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.meshapps import READS, Greeter, allow, ask, drain, echo_http, first, rest, web_client
from tests.support.proxybed import Bed, tier
from tests.support.wait import PATIENCE

from tsujiban.policy.program import Backend, ServicePort, ServiceProgram

pytestmark = pytest.mark.system


def test_a_server_first_greeting_reaches_whom_policy_allows_and_nobody_else(bed: Bed) -> None:
    web = bed.pod("web", ingress=(tier("default/web"),))
    customer = bed.pod("customer")
    stranger = bed.pod("stranger")
    served = Greeter()
    web.listen(3306, served)
    bed.update(**allow(customer, ports=(3306,)))
    bed.settle()

    with customer.connect(web.address, 3306) as connection:
        assert connection.recv(100) == b"220 welcome\r\n"
        big = b"x" * 300_000
        connection.sendall(big)
        connection.shutdown(socket.SHUT_WR)
        assert rest(connection) == big + b"bye"
    opened = bed.seen(log="tcp", final=False)
    assert opened.rules == ("default/web/ingress/0",)
    assert (opened.peer, opened.tls) == (customer.identity, "TLSv1.3")
    assert bed.seen(log="tcp", final=True).bytes_in == len(big)

    visitors = served.visitors
    with stranger.connect(web.address, 3306) as connection:
        assert rest(connection) == b""
    assert served.visitors == visitors


def test_on_a_port_with_http_rules_only_http_passes(bed: Bed) -> None:
    web = bed.pod("web", ingress=(tier("default/web"),))
    customer = bed.pod("customer")
    served = Greeter()
    web.listen(80, served)
    bed.update(**allow(customer, http=READS))
    bed.settle()

    def said(opening: bytes) -> bytes:
        with customer.connect(web.address, 80) as connection:
            connection.sendall(opening)
            return drain(connection, 3)

    silent = b""  # no greeting either
    openings = (
        b"\x00\x01binary",
        b"\r\n\r\nGARBAGE\r\n",
        b"SSH-2.0-x\r\n",
        b"GARBAGE / HTTP/9\r\n\r\n",
        silent,
    )
    with ThreadPoolExecutor(len(openings)) as pool:  # they wait for one another's silence, not in turn
        answers = dict(zip(openings, pool.map(said, openings), strict=True))
    assert [one for one, answer in answers.items() if b"welcome" in answer] == []
    assert answers[silent] == b""
    assert served.visitors == 0


def test_a_slow_client_is_judged_like_any_other(bed: Bed) -> None:
    web = bed.pod("web", ingress=(tier("default/web"),))
    customer = bed.pod("customer")
    web.listen(80, echo_http)
    bed.update(**allow(customer, http=READS))
    bed.settle()

    def slowly_asked(method: str) -> bytes:
        with customer.connect(web.address, 80) as connection:
            assert drain(connection, 1.5) == b""
            connection.sendall(method[:2].encode())
            assert drain(connection, 0.7) == b""
            connection.sendall(f"{method[2:]} /v1 HTTP/1.1\r\nHost: web\r\n\r\n".encode())
            return first(connection).split(b" ")[1]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(slowly_asked, ("GET", "PUT"))) == [b"200", b"403"]


def test_tls_of_the_application_is_bytes_in_the_tunnel(bed: Bed) -> None:
    web = bed.pod("web", ingress=(tier("default/web"),))
    customer = bed.pod("customer")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(bed.pki.workload())

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.sendall(b"inner " + secure.recv(100))

    web.listen(443, serve)
    bed.update(**allow(customer, ports=(443,)))
    bed.settle()

    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    with trusting.wrap_socket(customer.connect(web.address, 443)) as secure:
        secure.sendall(b"hello")
        assert secure.recv(100) == b"inner hello"


def test_a_port_declared_http_is_logged_by_request_even_without_http_rules(bed: Bed) -> None:
    web = bed.pod("web", ingress=(tier("default/web"),), named_ports=(("http", 6, 80),))
    customer = bed.pod("customer")
    web.listen(80, echo_http)
    bed.update(**allow(customer))
    bed.settle()

    assert ask(web_client(customer, web.address, 80), "DELETE", "/any")[0] == 200
    event = bed.seen(log="http", method="DELETE")
    assert (event.path, event.rules) == ("/any", ("default/web/ingress/0",))


def test_the_last_bytes_of_a_server_that_closes_first_arrive(bed: Bed) -> None:
    web = bed.pod("web", ingress=(tier("default/web"),))
    customer = bed.pod("customer")
    answer = b"y" * 300_000

    def serve(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(answer)

    web.listen(9000, serve)
    port = ServicePort(protocol=6, port=90, backends=(Backend(address=web.address, port=9000),))
    service = ServiceProgram(id="default/web", addresses=("10.96.0.20",), ports=(port,))
    bed.update(**allow(customer, ports=(9000,)), services={service.id: service})
    bed.settle()
    for _ in range(20):
        for address, number in ((web.address, 9000), ("10.96.0.20", 90)):
            with customer.connect(address, number) as connection:
                connection.sendall(b"go")
                assert rest(connection) == answer


def test_the_application_sees_no_header_of_ours_but_the_request_s_id(bed: Bed) -> None:
    web = bed.pod("web", ingress=(tier("default/web"),))
    customer = bed.pod("customer")
    seen: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        seen.append(connection.recv(10_000))
        connection.sendall(b"HTTP/1.1 200 OK\r\nServer: mine\r\nContent-Length: 0\r\n\r\n")

    web.listen(80, serve)
    bed.update(**allow(customer, http=READS))
    bed.settle()
    with customer.connect(web.address, 80) as connection:
        connection.sendall(b"GET /v1 HTTP/1.1\r\nHost: web\r\nX-MiXed: 1\r\n\r\n")
        answer = first(connection)
    names = {line.split(b":")[0] for line in seen[0].split(b"\r\n")[1:] if line}
    assert names == {b"Host", b"X-MiXed", b"x-request-id", b"x-forwarded-proto"}
    assert b"Server: mine" in answer
    assert b"x-envoy" not in answer.lower()


class Teller:
    """A server that says so much and closes: at once, or when its client has said all that it has to say."""

    def __init__(self, size: int, *, patient: bool) -> None:
        self.ended = threading.Event()
        self._size, self._patient = size, patient

    def __call__(self, connection: socket.socket) -> None:
        while self._patient and connection.recv(65536):
            continue
        connection.sendall(bytes(self._size))
        connection.close()
        self.ended.set()


def test_what_was_said_before_an_end_arrives_however_slowly_it_is_read(bed: Bed) -> None:
    """The end of a tunnel's stream waits behind its bytes. What the server's proxy cannot send, because the
    client has taken nothing of 16 MiB, would be lost when the server closes first (docs/proxy.md)."""
    web, customer, service = bed.pod("web"), bed.pod("customer"), "10.96.0.9"
    at_once, patient = Teller(8_000_000, patient=False), Teller(30_000_000, patient=True)
    web.listen(9000, at_once)
    web.listen(9001, patient)
    backend = ServicePort(protocol=6, port=9000, backends=(Backend(address=web.address, port=9000),))
    program = ServiceProgram(id="default/web", addresses=(service,), ports=(backend,))
    bed.update(services={program.id: program})
    bed.settle()
    for address in (web.address, service):
        with customer.connect(address, 9000) as connection:
            assert at_once.ended.wait(PATIENCE)
            at_once.ended.clear()
            assert slowly(connection) == 8_000_000
    with customer.connect(web.address, 9001) as connection:
        connection.sendall(b"that is all")
        connection.shutdown(socket.SHUT_WR)
        assert slowly(connection) == 30_000_000
    assert patient.ended.wait(PATIENCE)


def slowly(connection: socket.socket) -> int:
    """How many bytes come, for one who reads little at a time, and not before the way is full."""
    filled = -1
    while filled < (filled := waiting(connection)):
        time.sleep(0.2)
    return sum(iter(lambda: len(connection.recv(16384)), 0))


def waiting(connection: socket.socket) -> int:
    """How many bytes have arrived and were not read."""
    return int.from_bytes(fcntl.ioctl(connection, termios.FIONREAD, bytes(4)), sys.byteorder)
