import asyncio
import contextlib
import http.server
import os
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.wait import PATIENCE, until

from tsujiban.agent import probes
from tsujiban.agent.objects import ConfigError
from tsujiban.agent.sandbox import Command
from tsujiban.local.demo.forgery import self_signed
from tsujiban.resources.kinds.core import Container

OWN = "/proc/self/ns/net"  # entering it needs root; see tests/system/agent


def _parse(probe: dict[str, Any]) -> probes.Probe | None:
    data = {"name": "c", "ports": [{"name": "web", "containerPort": 8080}], "readinessProbe": probe}
    container = msgspec.convert(data, Container)
    return probes.parse(container, container.readiness_probe)


def test_no_probe() -> None:
    assert probes.parse(Container(), None) is None


def test_defaults_are_kubernetes() -> None:
    assert _parse({"tcpSocket": {"port": "web"}}) == probes.Probe(
        port=8080, initial_delay=0, period=10, timeout=1, success_threshold=1, failure_threshold=3
    )


def test_http() -> None:
    probe = _parse({"httpGet": {"port": 80, "path": "/x", "httpHeaders": [{"name": "A", "value": "b"}]}})
    assert probe == probes.Probe(port=80, http=True, path="/x", headers=(("A", "b"),))


def test_https_and_grpc() -> None:
    """A container with one of these waited for ever."""
    assert _parse({"httpGet": {"port": "web", "scheme": "HTTPS"}}) == probes.Probe(
        port=8080, http=True, tls=True
    )
    assert _parse({"grpc": {"port": 80}}) == probes.Probe(port=80, health="")
    assert _parse({"grpc": {"port": 80, "service": "a.B"}}) == probes.Probe(port=80, health="a.B")


def test_exec_and_times() -> None:
    probe = _parse(
        {
            "exec": {"command": ["true"]},
            "periodSeconds": 2,
            "timeoutSeconds": 3,
            "initialDelaySeconds": 1,
            "terminationGracePeriodSeconds": 4,
        }
    )
    assert probe == probes.Probe(command=("true",), period=2, timeout=3, initial_delay=1, grace=4)


@pytest.mark.parametrize(
    ("probe", "word"),
    [
        ({}, "must be"),
        ({"exec": {"command": []}}, "must be"),
        ({"tcpSocket": {"port": "none"}}, "none"),
        ({"tcpSocket": {"port": 0}}, "port"),
        ({"tcpSocket": {"port": 70000}}, "port"),
        ({"httpGet": {"port": 80, "scheme": "FTP"}}, "scheme"),
        ({"grpc": {"port": 0}}, "port"),
        ({"httpGet": {"port": 80, "host": "example.com"}}, "host"),
        ({"httpGet": {"port": 80, "httpHeaders": [{"value": "x"}]}}, "httpHeaders"),
        ({"tcpSocket": {"port": 80}, "periodSeconds": -1}, "negative"),
    ],
)
def test_probes_that_cannot_be(probe: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        _parse(probe)


def test_tally_follows_the_thresholds() -> None:
    tally = probes.Tally(probes.Probe(success_threshold=2, failure_threshold=3))
    outcomes = [True, False, True, True, False, False, True, False, False, False]
    assert [tally.add(outcome) for outcome in outcomes] == [
        False,
        False,
        False,
        True,
        True,
        True,
        True,
        True,
        True,
        False,
    ]


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path[1:]))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(probes, "call_in", lambda path, function: function())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("status", "fine"), [(200, True), (302, True), (404, False), (500, False)])
def test_http_status(port: int, status: int, fine: bool) -> None:
    answer = asyncio.run(
        probes.run(probes.Probe(port=port, http=True, path=f"/{status}", timeout=PATIENCE), OWN)
    )
    assert (answer == "") == fine


@pytest.fixture
def secured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[int]:
    """A server whose certificate nobody would believe."""
    monkeypatch.setattr(probes, "call_in", lambda path, function: function())
    forged = self_signed("spiffe://elsewhere/ns/a/sa/b")
    credentials = tmp_path / "credentials.pem"
    credentials.write_text(forged.chain + forged.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(credentials)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_https_looks_at_no_certificate(secured: int) -> None:
    probe = probes.Probe(port=secured, http=True, tls=True, path="/200", timeout=PATIENCE)
    assert asyncio.run(probes.run(probe, OWN)) == ""
    assert "status 500" in asyncio.run(probes.run(replace(probe, path="/500"), OWN))


def test_a_server_without_tls_is_not_asked_over_it(port: int) -> None:
    probe = probes.Probe(port=port, http=True, tls=True, path="/200", timeout=PATIENCE)
    assert f"port {port}: [SSL" in asyncio.run(probes.run(probe, OWN))


@pytest.mark.parametrize("probe", [probes.Probe(http=True, tls=True), probes.Probe(health="")])
def test_who_answers_nothing_is_hung_up_on(probe: probes.Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "call_in", lambda path, function: function())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asked = replace(probe, port=silent.getsockname()[1], timeout=0.1)
        assert "timed out" in probes.check_port(OWN, asked)


def test_tcp(port: int) -> None:
    assert asyncio.run(probes.run(probes.Probe(port=port, timeout=PATIENCE), OWN)) == ""


def test_refused_silent_and_foreign_ports(port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        number = silent.getsockname()[1]
        answer = asyncio.run(probes.run(probes.Probe(port=number, http=True, timeout=0.1), OWN))
        assert "timed out" in answer
    assert "refused" in asyncio.run(probes.run(probes.Probe(port=number, timeout=PATIENCE), OWN))


def _command(script: str) -> Command:
    return Command((sys.executable, "-c", script), dict(os.environ))


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\n"])
def test_an_answer_that_drips_is_none(first: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container must not be able to hold a thread of its node's agent."""
    monkeypatch.setattr(probes, "call_in", lambda path, function: function())
    done = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(first)
            while not done.wait(0.05):
                connection.sendall(b"H")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=drip, args=(listener,))
        server.start()
        probe = probes.Probe(http=True, port=listener.getsockname()[1], timeout=0.4)
        answer = probes.check_port(OWN, probe)  # it returns at all: what drips, drips until `done` is set
        done.set()
        server.join()
    assert "timed out" in answer


@pytest.mark.parametrize(
    ("script", "expected"),
    [("", ""), ("raise SystemExit(3)", "exit status 3"), ("import time; time.sleep(3600)", "no answer")],
)
def test_exec(script: str, expected: str) -> None:
    probe = probes.Probe(command=("x",), timeout=1 if "sleep" in script else PATIENCE)
    answer = asyncio.run(probes.run(probe, OWN, _command(script)))
    assert expected in answer
    assert (answer == "") == (expected == "")


def test_exec_of_what_does_not_run() -> None:
    assert asyncio.run(probes.run(probes.Probe(command=("x",)), OWN)) == "not running"


def test_a_command_ends_with_whoever_wanted_to_know(tmp_path: Path) -> None:
    async def story() -> None:
        told = tmp_path / "pid"
        script = f"import os, time; open({str(told)!r}, 'w').write(f'{{os.getpid()}} '); time.sleep(3600)"
        probe = probes.Probe(command=("x",), timeout=3600)
        asking = asyncio.create_task(probes.run(probe, OWN, _command(script)))
        await until(lambda: told.exists() and told.read_text().endswith(" "))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        with pytest.raises(ProcessLookupError):
            os.kill(int(told.read_text()), 0)

    asyncio.run(story())


def test_a_command_that_ends_in_the_moment_in_which_its_time_is_over_is_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Ended:
        """A process that is no more, of which its waiter has not heard."""

        waits = 0

        def kill(self) -> None:
            raise ProcessLookupError

        async def wait(self) -> int:
            self.waits += 1
            if self.waits == 1:
                await asyncio.Event().wait()
            return 0

    async def made(*_: object, **__: object) -> Ended:
        return Ended()

    monkeypatch.setattr(asyncio, "create_subprocess_exec", made)
    probe = probes.Probe(command=("x",), timeout=0.01)
    assert "no answer" in asyncio.run(probes.run(probe, OWN, _command("")))
