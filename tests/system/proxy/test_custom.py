"""CUSTOM policies: somebody in the mesh is asked, the real `tsujiban authz-server` or an HTTP service."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import structs
from tests.support.authzworld import manifests
from tests.support.meshapps import ask, first, web_client
from tests.support.proxybed import Bed, Pod, until

from tsujiban.policy.program import (
    AuthzAction,
    AuthzOperation,
    AuthzProgram,
    AuthzRule,
    Backend,
    ExternalAuthorizer,
    ServicePort,
    ServiceProgram,
    StringMatch,
)

pytestmark = pytest.mark.system
GRPC = ExternalAuthorizer(service="default/authz", port=9000, timeout_ms=90_000)
HTTP = ExternalAuthorizer(
    service="default/authz",
    port=9001,
    grpc=False,
    timeout_ms=90_000,
    path_prefix="/check",
    request_headers=("x-key",),
    added_headers=(("x-from", "100%"),),
    headers_upstream=("x-user*",),
    headers_on_deny=("x-why",),
)
NOBODY = ExternalAuthorizer(service="default/authz", port=9002)


def custom(external: ExternalAuthorizer | None) -> dict[str, AuthzProgram]:
    """What is below /v1 or /admin is asked about."""
    asked = AuthzOperation(paths=(StringMatch(prefix="/v1/"), StringMatch(prefix="/admin")))
    rule = AuthzRule(id="custom/0", operations=(asked,))
    program = AuthzProgram(
        id="custom", action=AuthzAction.CUSTOM, provider="p", external=external, rules=(rule,)
    )
    return {program.id: program}


class HttpProvider:
    """Says yes to the key `good`; remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, http.client.HTTPMessage]] = []

    def __call__(self, connection: socket.socket) -> None:
        reader = connection.makefile("rb")
        while line := reader.readline():
            headers = http.client.parse_headers(reader)
            self.told.append((line.decode().strip(), headers))
            if headers["x-key"] == "good":
                answer = "HTTP/1.1 200 OK\r\nX-User-Name: alice\r\nX-Other: 1\r\nContent-Length: 0\r\n\r\n"
            else:
                answer = "HTTP/1.1 403 No\r\nX-Why: key\r\nX-Inner: 1\r\nContent-Length: 4\r\n\r\nmine"
            connection.sendall(answer.encode())


def bridge(path: str) -> Any:
    """An application that is what listens at a Unix socket."""

    def serve(connection: socket.socket) -> None:
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(path)
            back = threading.Thread(target=_copy, args=(other, connection), daemon=True)
            back.start()
            _copy(connection, other)
            back.join()

    return serve


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


class World:
    """`web` asks; `shop` may read, says the authz-server, and nobody else."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.heads: list[bytes] = []
        self.web = bed.pod("web", authorization=("custom",))
        self.shop, self.stranger, self.authz = bed.pod("shop"), bed.pod("stranger"), bed.pod("authz")
        self.web.listen(80, self._serve)
        self.http = HttpProvider()
        self.authz.listen(9001, self.http)
        path = bed.directory / "authz.sock"
        manifest = bed.directory / "policy.yaml"
        manifest.write_text(manifests(self.web.address, self.shop.address).replace("8080", "80"))
        command = [sys.executable, "-m", "tsujiban", "authz-server", "--listen", f"unix:{path}"]
        command += ["-f", str(manifest), "--trust-domain", bed.pki.trust_domain]
        self.server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self.authz.listen(9000, bridge(str(path)))
        ports = tuple(
            ServicePort(protocol=6, port=port, backends=(Backend(address=self.authz.address, port=port),))
            for port in (9000, 9001, 9002)
        )
        service = ServiceProgram(id="default/authz", addresses=("10.96.0.30",), ports=ports)
        bed.update(services={service.id: service}, authorizations=custom(None))
        bed.settle()
        until("authz-server listens", path.is_socket)

    def _serve(self, connection: socket.socket) -> None:
        data = b""
        while part := connection.recv(65536):
            *heads, data = (data + part).split(b"\r\n\r\n")
            self.heads += [head.lower() for head in heads]
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * len(heads))

    def get(self, path: str, pod: Pod | None = None, method: str = "GET", headers: Any = None) -> int:
        """Status of one request."""
        client = web_client(pod or self.shop, self.web.address, 80)
        return ask(client, method, path, headers=headers or {})[0]

    def close(self) -> None:
        """End the server."""
        self.server.kill()
        self.server.wait()


@pytest.fixture(scope="module")
def world(shared_bed: Bed) -> Iterator[World]:
    made = World(shared_bed)
    try:
        yield made
    finally:
        made.close()


def test_a_provider_that_nobody_knows_denies_what_its_rules_match(world: World) -> None:
    assert world.bed.update(authorizations=custom(None)) == ()
    assert world.get("/v1/x") == 403
    assert world.bed.seen(log="http", path="/v1/x").rules == ("custom/0",)
    assert world.get("/free") == 200


def test_our_own_server_is_asked_and_told_who_asks(world: World) -> None:
    assert world.bed.update(authorizations=custom(GRPC)) == ()
    assert world.get("/v1/a") == 200
    assert world.bed.seen(log="http", path="/v1/a").verdict == "allow"
    assert world.get("/v1/b", method="PUT") == 403
    denied = world.bed.seen(log="http", path="/v1/b")
    assert (denied.verdict, denied.rules) == ("deny", ("custom/0",))
    assert world.get("/v1/c", world.stranger) == 403
    assert world.get("/admin/../v1/d") == 200
    assert world.get("/free", world.stranger) == 200  # nobody is asked


def test_without_an_answer_it_is_denied_unless_the_provider_is_declared_fail_open(world: World) -> None:
    assert world.bed.update(authorizations=custom(structs.replace(NOBODY, status_on_error=503))) == ()
    assert world.get("/v1/e") == 503
    assert world.bed.seen(log="http", path="/v1/e").rules == ("custom/0",)
    assert world.get("/free") == 200
    assert world.bed.update(authorizations=custom(structs.replace(NOBODY, fail_open=True))) == ()
    assert world.get("/v1/f") == 200


def test_an_http_provider_is_told_and_answers_what_is_declared(world: World) -> None:
    assert world.bed.update(authorizations=custom(HTTP)) == ()
    world.http.told.clear()
    client = web_client(world.shop, world.web.address, 80)
    status, body = ask(client, "GET", "/v1/g", headers={"X-Key": "bad", "X-Secret": "1"})
    assert (status, body) == (403, b"mine")  # its own words
    line, told = world.http.told[-1]
    assert line == "GET /check/v1/g HTTP/1.1"
    assert (told["x-key"], told["x-from"], told["x-secret"]) == ("bad", "100%", None)
    assert told["x-forwarded-client-cert"] == f"URI={world.shop.identity}"
    world.heads.clear()
    assert world.get("/v1/h", headers={"X-Key": "good", "X-User-Name": "mallory"}) == 200
    (head,) = world.heads
    assert b"x-user-name: alice" in head
    assert b"mallory" not in head
    assert b"x-other" not in head


def test_what_is_not_http_is_not_asked_about_but_denied_where_rules_match(world: World) -> None:
    everything = structs.replace(custom(GRPC)["custom"], rules=(AuthzRule(id="custom/0"),))
    assert world.bed.update(authorizations={"custom": everything}) == ()
    with world.shop.connect(world.web.address, 80) as connection:
        connection.sendall(b"\x00\x01\r\n")
        assert b" 200 " not in first(connection)
    assert world.get("/v1/i") == 200
    assert world.get("/w") == 403
