"""Two pods, unchanged applications, real Envoys: what HTTP may pass, and who says so."""

from __future__ import annotations

import http.client
import socket

import pytest
from tests.support.proxybed import Bed, Pod, tier

from tsujiban.policy.program import (
    Action,
    AddressSet,
    Http,
    Member,
    PathMatch,
    PolicyProgram,
    PortRange,
    Ports,
    Rule,
    Side,
)

pytestmark = pytest.mark.system


def echo_http(connection: socket.socket) -> None:
    """A small HTTP/1.1 server: answers with what it was asked."""
    reader = connection.makefile("rb")
    while line := reader.readline():
        headers = {}
        while (header := reader.readline().strip()) != b"":
            name, _, value = header.partition(b":")
            headers[name.lower()] = value.strip()
        body = b""
        if headers.get(b"transfer-encoding") == b"chunked":
            while size := int(reader.readline(), 16):
                body += reader.read(size)
                reader.readline()
            reader.readline()
        elif b"content-length" in headers:
            body = reader.read(int(headers[b"content-length"]))
        answer = line.strip() + b" " + body
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)


def client(pod: Pod, address: str, port: int) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(address, port)
    connection.auto_open = 0  # a second connection would not be in the pod
    connection.sock = pod.connect(address, port)
    return connection


def ask(connection: http.client.HTTPConnection, method: str, path: str, **more: object) -> tuple[int, bytes]:
    connection.request(method, path, **more)  # type: ignore[arg-type]
    response = connection.getresponse()
    return response.status, response.read()


def reads_only(bed: Bed, *clients: Pod) -> dict[str, object]:
    """The policy `default/web`: these clients may GET below /v1, on port 80."""
    members = frozenset(Member(net=pod.address, identity=pod.identity) for pod in clients)
    rule = Rule(
        id="default/web/ingress/0",
        action=Action.ALLOW,
        protocols=(6,),
        src=Side(sets=("s:clients",)),
        dst=Side(ports=Ports(ranges=(PortRange(first=80, last=80),))),
        http=Http(methods=("GET",), paths=(PathMatch(prefix="/v1"),)),
    )
    return {
        "policies": {"default/web": PolicyProgram(id="default/web", ingress=(rule,))},
        "sets": {"s:clients": AddressSet(id="s:clients", members=members)},
    }


def test_requests_are_judged_by_method_and_path(bed: Bed) -> None:
    web = bed.pod("web", ingress=(tier("default/web"),))
    customer = bed.pod("customer")
    stranger = bed.pod("stranger")
    web.listen(80, echo_http)
    bed.update(**reads_only(bed, customer))
    bed.settle()

    connection = client(customer, web.address, 80)
    status, body = ask(connection, "GET", "/v1/accounts?x=1")
    assert status == 200
    assert body.startswith(b"GET /v1/accounts?x=1 HTTP/1.1")
    allowed = bed.seen(log="http", method="GET", status=200)
    assert allowed.rules == ("default/web/ingress/0",)
    assert allowed.peer == customer.identity
    assert allowed.tls == "TLSv1.3"
    assert (allowed.source, allowed.destination, allowed.destination_port) == (
        customer.address,
        web.address,
        80,
    )

    status, body = ask(connection, "PUT", "/v1/accounts")
    assert status == 403
    denied = bed.seen(log="http", method="PUT")
    assert denied.verdict == "deny"
    assert denied.rules == ("_tier/default/ingress/default",)
    assert body.decode() == f"request denied by policy, id {denied.request_id}\n"
    assert ask(connection, "GET", "/v2")[0] == 403

    with pytest.raises((OSError, http.client.HTTPException)):
        ask(client(stranger, web.address, 80), "GET", "/v1/x")
    refused = bed.seen(log="tunnel", verdict="deny")
    assert refused.peer == stranger.identity
    assert refused.rules == ("_tier/default/ingress/default",)
