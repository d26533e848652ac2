"""Certificates are renewed under traffic, and no connection notices."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from tests.support import witness
from tests.support.wait import PATIENCE

from tsujiban.local.cluster import LocalCluster
from tsujiban.local.waiting import until
from tsujiban.resources.registry import resolve

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

NAME = "systestr"
LIFETIME = 8  # seconds; renewed at half of it
RENEWALS = 3
SERVER = """
import socketserver
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
Server(("", 7000), Echo).serve_forever()
"""
# it may run before its name server, its node and both proxies have heard of the echo, so it tries; from the
# first answer on it loses nothing
CLIENT = """
import socket, sys, time
def answering():
    while True:
        try:
            stream = socket.create_connection(("echo", 7000), timeout=60).makefile("rwb", buffering=0)
            stream.write(b"hello\\n")
            if stream.readline():
                return stream
        except OSError:
            pass
        time.sleep(0.1)
stream = answering()
for line in sys.stdin.buffer:
    stream.write(line)
    answer = stream.readline()
    sys.stdout.buffer.write(answer or b"lost\\n")
    sys.stdout.buffer.flush()
"""


def pod(name: str, command: list[str], **container: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "host", "command": command, **container}]},
    }


PROBE = {"readinessProbe": {"tcpSocket": {"port": 7000}}}
OBJECTS = [
    pod("echo", ["/usr/bin/python3", "-c", SERVER], **PROBE),
    pod("client", ["sleep", "infinity"]),
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "echo", "namespace": "default"},
        "spec": {"selector": {"app": "echo"}, "ports": [{"port": 7000}]},
    },
]


def expiries(cluster: LocalCluster) -> dict[str, float]:
    with cluster.client() as client:
        components = client.status()["components"]
    return {c["name"]: c["certificate_expires"] for c in components if c["name"].startswith("sidecar ")}


def ready(cluster: LocalCluster) -> bool:
    with cluster.client() as client:
        pods = client.list(resolve("pods"), "default")["items"]
    return len(pods) == 2 and all(
        any(c["type"] == "Ready" and c["status"] == "True" for c in p.get("status", {}).get("conditions", ()))
        for p in pods
    )


def test_a_connection_outlives_many_certificates() -> None:
    with witness.cluster(NAME, 1, svid_lifetime=LIFETIME) as cluster:
        with cluster.client() as client:
            client.apply(OBJECTS)
        assert until(lambda: ready(cluster), PATIENCE)
        command = cluster.exec_command("default", "client", "main", ("/usr/bin/python3", "-c", CLIENT))
        with subprocess.Popen(
            command.argv, env=command.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            seen: dict[str, set[float]] = {}
            count = 0

            def sample() -> bool:
                nonlocal count
                count += 1
                assert child.stdin is not None
                assert child.stdout is not None
                child.stdin.write(f"{count}\n")
                child.stdin.flush()
                assert child.stdout.readline() == f"{count}\n"
                for name, expires in expiries(cluster).items():
                    seen.setdefault(name, set()).add(expires)
                return len(seen) == 2 and all(len(times - {0.0}) > RENEWALS for times in seen.values())

            assert until(sample, PATIENCE), f"certificates seen: {seen}"
            child.stdin.close()
