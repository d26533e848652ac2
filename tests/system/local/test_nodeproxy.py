"""A cluster whose namespace has no sidecars: the same as with them, and pods that move while they run."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from grpclib.client import Channel, UnaryUnaryMethod
from tests.support.clusterapps import (
    ASK,
    BRIEFLY,
    PATIENTLY,
    POLICY,
    READY,
    SECONDS,
    SERVER,
    WEB,
    account,
    answered,
    answers,
    ask_api,
    cluster_with,
    deployment,
    flows,
    get,
    healthy,
    pods,
    ready,
    run,
)
from tests.support.handover import ECHO, answers_again, children, end_by_policy, room_of

from tsujiban.extauthz.service import METHOD
from tsujiban.local.cluster import LocalCluster, NotRunning
from tsujiban.local.enforced import wait_for
from tsujiban.local.waiting import until
from tsujiban.resources.registry import resolve

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

NAME = "sysnode"
LABEL = "tsujiban.io/mesh"


def wanderer(mesh: str) -> dict[str, Any]:
    """A pod of no deployment, whose label may change while it runs."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "wanderer",
            "namespace": "default",
            "labels": {"app": "wanderer", LABEL: mesh},
        },
        "spec": {
            "serviceAccountName": "friend",
            "containers": [{"name": "main", "image": "host", "command": ["sleep", "infinity"]}],
        },
    }


ECHOES = ECHO + "asyncio.run(main())\n"
SLOW = """
import http.server, os, signal, threading
told = threading.Event()
class Slow(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '6' if self.path == '/ready' else '600006')
        self.end_headers()
        self.wfile.write(b'begun\\n')
        if self.path == '/ready':
            return
        told.wait()
        self.wfile.write(b'x' * 600000)
        os._exit(0)
signal.signal(signal.SIGTERM, lambda *_: told.set())
http.server.ThreadingHTTPServer(('', 8080), Slow).serve_forever()
"""
OBJECTS: list[dict[str, Any]] = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", "labels": {LABEL: "node"}}},
    account("web"),
    account("friend"),
    deployment("web", ["python3", "-c", SERVER], serviceAccountName="web", replicas=2, container=READY),
    deployment("friend", ["sleep", "infinity"], serviceAccountName="friend"),
    deployment("echo", ["python3", "-c", ECHOES], serviceAccountName="web"),
    deployment("stranger", ["sleep", "infinity"]),
    deployment("sidecar", ["sleep", "infinity"], serviceAccountName="friend", labels={LABEL: "sidecar"}),
    deployment("outsider", ["sleep", "infinity"], labels={LABEL: "none"}),
    WEB,
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with cluster_with(NAME, OBJECTS) as made:
        yield made


def envoys(cluster: LocalCluster) -> dict[str, int]:
    """Every Envoy of the cluster, and its process (the one that Envoy runs in).

    One that ends, or whose sandbox is still being built, while we look is not there.
    """
    found = {}
    for one in cluster.processes(""):
        if one.name.endswith(("/proxy", "/sidecar")):
            with suppress(NotRunning, LookupError):
                found[one.name] = room_of(cluster, one)
    return found


def test_there_is_one_envoy_a_node_and_a_sidecar_only_where_one_was_asked_for(cluster: LocalCluster) -> None:
    sidecar = pods(cluster, "sidecar")[0]
    expected = {"node-1/proxy", "node-2/proxy"}
    expected.add(f"{sidecar['spec']['nodeName']}/pods/{sidecar['metadata']['uid']}/sidecar")
    assert envoys(cluster).keys() == expected

    def told() -> list[str]:
        """The nodes that say their proxy serves; each reports about once a second."""
        with cluster.client() as client:
            proxies = [one for one in client.status()["components"] if one["name"] == "proxy"]
        assert {one["node"] for one in proxies} <= {"node-1", "node-2"}
        return sorted(
            one["node"]
            for one in proxies
            if one["healthy"] and one["detail"].startswith("serves ") and one["certificate_expires"]
        )

    assert until(lambda: told() == ["node-1", "node-2"], SECONDS)


def test_both_ways_speak_with_each_other_under_the_same_policy(cluster: LocalCluster) -> None:
    for app in ("stranger", "sidecar"):  # available a moment before their proxies have heard of everybody
        assert until(lambda app=app: get(cluster, app) == "200", SECONDS)  # type: ignore[misc]  # bound at once
    assert get(cluster, "outsider").startswith("curl ")
    with cluster.client() as client:
        client.apply([POLICY])
        assert wait_for(client, [POLICY], SECONDS).where == "2/2 nodes"
    try:
        for app in ("friend", "sidecar"):
            assert answered(cluster, app) == "200"
            assert answered(cluster, app, "-X", "POST") == "403"
        assert get(cluster, "stranger", *BRIEFLY).startswith("curl ")
        names = {pods(cluster, app)[0]["status"]["podIP"]: app for app in ("friend", "sidecar")}
        web = {f"default/{pod['metadata']['name']}" for pod in pods(cluster, "web")}

        def recorded() -> bool:
            seen = [f for f in flows(cluster, post="proxy", verdict="deny") if f.get("method") == "POST"]
            return {f["source"] for f in seen} == names.keys() and {f["endpoint"] for f in seen} <= web

        assert until(recorded, SECONDS)
    finally:
        with cluster.client() as client:
            client.delete(resolve("networkpolicies.projectcalico.org"), "default", "web")
    assert until(lambda: get(cluster, "stranger") == "200", SECONDS)


def test_a_pod_of_the_nodes_envoy_reaches_the_api(cluster: LocalCluster) -> None:
    assert ask_api(cluster, "friend", *PATIENTLY) == "401"


def test_it_has_two_capabilities_and_nothing_to_use_them_on(cluster: LocalCluster) -> None:
    for name, pid in envoys(cluster).items():
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        node = name.endswith("/proxy")
        wanted = (1 << 12 | 1 << 21) if node else 0
        for field in ("CapEff", "CapPrm", "CapAmb", "CapBnd", "CapInh"):
            assert int(status[field], 16) == wanted, field
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
        assert int(status["Uid"].split()[0]) >= 200_000
        root = Path(f"/proc/{pid}/root")
        assert not any((root / "var/lib/tsujiban").iterdir())
        assert sorted(p.name for p in (root / "run").iterdir()) == sorted(
            ["tsujiban-proxy", "tsujiban-envoy", "tsujiban-owners", *(["netns"] if node else [])]
        )


def test_a_killed_node_proxy_comes_back_and_nothing_passes_meanwhile(cluster: LocalCluster) -> None:
    node = pods(cluster, "friend")[0]["spec"]["nodeName"]
    before = cluster.process(f"{node}/proxy")
    os.kill(before.pid, signal.SIGKILL)
    first = get(cluster, "friend")  # refused while it is away, answered if it is back already
    assert first.startswith("curl ") or first == "200"
    assert until(lambda: cluster.process(f"{node}/proxy").pid not in (0, before.pid), SECONDS)
    assert until(lambda: get(cluster, "friend") == "200", SECONDS)
    assert until(lambda: answers(healthy(cluster)), SECONDS)


def test_an_agent_that_comes_back_disturbs_no_connection(cluster: LocalCluster) -> None:
    friend = pods(cluster, "friend")[0]
    address = pods(cluster, "web")[0]["status"]["podIP"]
    node = friend["spec"]["nodeName"]

    def ask(connection: socket.socket) -> bytes:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        with connection.makefile("rb") as answer:
            return answer.readline()

    with cluster.socket_in_pod("default", friend["metadata"]["name"], address, 8080) as connection:
        assert ask(connection) == b"HTTP/1.0 200 OK\r\n"
    listening = cluster.socket_in_pod("default", friend["metadata"]["name"], address, 8080)
    with listening:
        before = cluster.process(f"{node}/agent")
        proxy = cluster.process(f"{node}/proxy").pid
        os.kill(before.pid, signal.SIGKILL)
        assert until(lambda: cluster.process(f"{node}/agent").pid not in (0, before.pid), SECONDS)
        assert until(lambda: answers(healthy(cluster)), SECONDS)
        assert ask(listening) == b"HTTP/1.0 200 OK\r\n"
        assert cluster.process(f"{node}/proxy").pid == proxy


def test_a_new_envoy_takes_over_and_loses_nothing_and_the_old_one_obeys(cluster: LocalCluster) -> None:
    friend, echo = pods(cluster, "friend")[0], pods(cluster, "echo")[0]

    def connect() -> socket.socket:
        name, address = friend["metadata"]["name"], echo["status"]["podIP"]
        return cluster.socket_in_pod("default", name, address, 9000)

    keepers = {name: pid for name, pid in envoys(cluster).items() if name.endswith("/proxy")}
    with connect() as old:
        assert answers_again(old)
        for pid in keepers.values():
            os.kill(pid, signal.SIGWINCH)
        assert until(lambda: all(len(children(pid)) == 2 for pid in keepers.values()), SECONDS)
        for _ in range(20):
            assert answered(cluster, "friend") == "200"
            assert answers_again(old)
        assert until(lambda: answers(healthy(cluster)), SECONDS)
        with connect() as new:
            assert answers_again(new)
            end_by_policy(cluster, "echo", old, new)
    assert envoys(cluster).items() >= keepers.items()


def test_a_running_pod_moves_into_the_mesh_and_out_and_is_not_restarted(cluster: LocalCluster) -> None:
    def apply(mesh: str) -> None:
        with cluster.client() as client:
            client.apply([wanderer(mesh)])

    def arrives(mesh: str, answer: str) -> None:
        apply(mesh)
        # a connection that was made while the pod was closed may never be answered
        assert until(lambda: get(cluster, "wanderer", "-m", "10").startswith(answer), SECONDS), mesh
        assert until(lambda: ready(pods(cluster, "wanderer")[0]), SECONDS)

    apply("none")
    assert until(lambda: bool(pods(cluster, "wanderer")) and ready(pods(cluster, "wanderer")[0]), SECONDS)
    pod = pods(cluster, "wanderer")[0]
    main = cluster.process(cluster.process_name("default", "wanderer")).pid
    own = f"{pod['spec']['nodeName']}/pods/{pod['metadata']['uid']}/sidecar"
    keeper = cluster.process(f"{pod['spec']['nodeName']}/proxy")
    assert get(cluster, "wanderer").startswith("curl ")
    for mesh, answer, sidecar in (
        ("node", "200", False),
        ("sidecar", "200", True),
        ("node", "200", False),
        ("none", "curl ", False),
        ("sidecar", "200", True),
        ("none", "curl ", False),
    ):
        arrives(mesh, answer)
        assert until(lambda wanted=sidecar: (own in envoys(cluster)) is wanted, SECONDS), mesh  # type: ignore[misc]
        assert cluster.process(cluster.process_name("default", "wanderer")).pid == main
    assert until(lambda: answers(healthy(cluster)), SECONDS)
    # its Envoy has just taken over from one that was ended for the sake of these moves
    assert cluster.process(keeper.name).pid == keeper.pid
    with cluster.client() as client:
        client.delete(resolve("pods"), "default", "wanderer")


@pytest.mark.parametrize("mesh", ["node", "sidecar"])
def test_an_answer_that_is_under_way_when_its_pod_is_deleted_arrives_whole(
    cluster: LocalCluster, mesh: str
) -> None:
    """The application goes on until it has said all, and ends at once; its proxy has the rest of it then."""
    slow = wanderer(mesh)
    slow["metadata"]["name"] = slow["metadata"]["labels"]["app"] = f"slow-{mesh}"
    slow["spec"]["containers"][0] |= {
        "command": ["python3", "-c", SLOW],
        "readinessProbe": {"tcpSocket": {"port": 8080}},
        "ports": [{"name": "http", "containerPort": 8080}],
    }
    name = slow["metadata"]["name"]
    with cluster.client() as client:
        client.apply([slow])
    assert until(lambda: bool(pods(cluster, name)) and ready(pods(cluster, name)[0]), SECONDS)
    address = pods(cluster, name)[0]["status"]["podIP"]
    friend = pods(cluster, "friend")[0]["metadata"]["name"]
    asking = (*ASK, f"http://{address}:8080/ready")
    assert until(lambda: run(cluster, "friend", *asking).stdout == "200", SECONDS)
    with cluster.socket_in_pod("default", friend, address, 8080) as connection:
        connection.settimeout(SECONDS)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: slow\r\n\r\n")
        with http.client.HTTPResponse(connection) as answer:
            answer.begin()
            assert answer.read(6) == b"begun\n"
            with cluster.client() as client:
                client.delete(resolve("pods"), "default", name)
            assert len(answer.read()) == 600_000
    assert until(lambda: not pods(cluster, name), SECONDS)


def test_an_authz_server_answers_by_the_policy_that_is_in_force_now(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    path = tmp_path / "authz.sock"
    command = [sys.executable, "-m", "tsujiban", "authz-server", "--listen", f"unix:{path}"]
    with subprocess.Popen([*command, "--cluster", NAME], stderr=subprocess.DEVNULL) as server:
        try:
            assert until(lambda: takes(path), SECONDS)
            web = pods(cluster, "web")[0]["status"]["podIP"]

            def code(app: str, method: str) -> int:
                request = CheckRequest()
                attributes = request.attributes
                source = pods(cluster, app)[0]
                name = source["spec"].get("serviceAccountName", "default")
                attributes.source.principal = f"spiffe://cluster.local/ns/default/sa/{name}"
                attributes.source.address.socket_address.address = source["status"]["podIP"]
                attributes.destination.address.socket_address.address = web
                attributes.destination.address.socket_address.port_value = 8080
                attributes.request.http.method, attributes.request.http.path = method, "/"
                return asyncio.run(_check(path, request))

            assert code("stranger", "GET") == 0
            with cluster.client() as client:
                client.apply([POLICY])
            assert until(lambda: code("stranger", "GET") == 7, SECONDS)
            assert code("friend", "GET") == 0
            assert code("friend", "POST") == 7
            with cluster.client() as client:
                client.delete(resolve("networkpolicies.projectcalico.org"), "default", "web")
            assert until(lambda: code("stranger", "GET") == 0, SECONDS)
        finally:
            server.terminate()


def takes(path: Path) -> bool:
    """Whether somebody listens there: a socket is seen a moment before."""
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


async def _check(path: Path, request: CheckRequest) -> int:
    channel = Channel(path=str(path))
    try:
        ask: UnaryUnaryMethod[CheckRequest, CheckResponse] = UnaryUnaryMethod(
            channel, METHOD, CheckRequest, CheckResponse
        )
        answer = await ask(request)
    finally:
        channel.close()
    code: int = answer.status.code
    return code


def test_its_directory_is_its_own(cluster: LocalCluster) -> None:
    for node in ("node-1", "node-2"):
        directory = cluster.layout.node_run(node) / "proxy"
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert directory.stat().st_uid >= 400_000
        assert stat.S_IMODE((directory / "proxy.sock").stat().st_mode) == 0o600
