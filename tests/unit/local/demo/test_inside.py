"""The programs that are handed to pods, run by the system's own Python as there."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.support.wait import PATIENCE

from tsujiban.local.demo.hands import script_command


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if body == b"please" else 403)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def nobody() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


def run(name: str, *words: str, stdin: str = "") -> str:
    done = subprocess.run(
        script_command(name, *words),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    return done.stdout


def test_a_request_reports_status_and_body(url: str) -> None:
    found = json.loads(run("request", "POST", url, "5", stdin="please"))
    assert (found["status"], found["body"], found["error"]) == (200, "ok", "")
    assert json.loads(run("request", "POST", url, "5", stdin="now"))["status"] == 403


def test_a_request_that_nobody_answers_reports_why() -> None:
    found = json.loads(run("request", "GET", nobody(), "5"))
    assert found["status"] == 0
    assert "ConnectionRefusedError" in found["error"]


@pytest.mark.parametrize(("mode", "one_port"), [("keep", True), ("fresh", False)])
def test_samples_over_one_connection_or_many(url: str, mode: str, one_port: bool) -> None:
    sampler = subprocess.Popen(
        script_command("sample", mode, "POST", url, "please", "0.01", "2"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert sampler.stdin is not None
    assert sampler.stdout is not None
    samples = [json.loads(sampler.stdout.readline()) for _ in range(5)]
    sampler.stdin.close()
    assert sampler.wait(PATIENCE) == 0
    sampler.stdout.close()
    assert {sample["status"] for sample in samples} == {200}
    assert (len({sample["port"] for sample in samples}) == 1) is one_port


def test_a_connection_that_is_lost_stays_lost() -> None:
    sampler = subprocess.Popen(
        script_command("sample", "keep", "GET", nobody(), "", "0.01", "1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert sampler.stdin is not None
    assert sampler.stdout is not None
    samples = [json.loads(sampler.stdout.readline()) for _ in range(3)]
    sampler.stdin.close()
    sampler.wait(PATIENCE)
    sampler.stdout.close()
    assert all(sample["status"] == 0 and "refused" in sample["error"] for sample in samples)


def test_tls_to_nobody_ends_at_the_connection() -> None:
    port = int(nobody().rsplit(":", 1)[1].rstrip("/"))
    given = {
        "address": "127.0.0.1",
        "port": port,
        "seconds": PATIENCE,
        "silence": 0,
        "alpn": ["x"],
        "send": "",
    }
    found = json.loads(run("tls", stdin=json.dumps({**given, "certificate": "", "key": ""})))
    assert found["stage"] == "connect"
    assert "ConnectionRefusedError" in found["error"]


def test_tls_to_a_server_that_does_not_speak_it(url: str) -> None:
    port = int(url.rsplit(":", 1)[1].rstrip("/"))
    given = {"address": "127.0.0.1", "port": port, "seconds": PATIENCE, "silence": 0, "alpn": [], "send": ""}
    found = json.loads(run("tls", stdin=json.dumps({**given, "certificate": "", "key": ""})))
    assert found["stage"] == "handshake"
