"""Two controllers on one etcd and a real node: people reach pods through either, whichever leads, and what
they have begun at one goes on when the other ends."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from tests.support import etcdbed
from tests.support.machine import unique_cluster
from tests.support.wait import PATIENCE
from tests.system.controller.live.conftest import MANIFESTS, NEW, WAIT, Kubectl, read_line
from tests.system.controller.live.test_kubectl_streams import BARE_SPDY

from tsujiban.controller.config import ControllerConfig
from tsujiban.controller.enrol import enrol
from tsujiban.controller.enrolment import Ticket, TokenMade
from tsujiban.local import specs
from tsujiban.local.cluster import LocalCluster
from tsujiban.local.down import down
from tsujiban.local.layout import CONTROLLER_ADDRESS, NODE_STREAM_PORT
from tsujiban.local.up import up
from tsujiban.local.waiting import until
from tsujiban.resources.names import fabric_namespace
from tsujiban.supervise.client import SupervisorClient
from tsujiban.supervise.netns import namespace_path
from tsujiban.supervise.spec import Listener, ProcessSpec
from tsujiban.wire.pinned import ControllerUnreachable, JoinError

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SECOND = "second"
PORT = NODE_STREAM_PORT + 1


class Pair:
    """The cluster's own controller, and a second one that only this test knows of."""

    def __init__(self, cluster: LocalCluster, home: Path) -> None:
        self.cluster = cluster
        self.layout = cluster.layout
        self.state = self.layout.state / SECOND
        self.port = _free_port()
        self.home = home
        self.first = Kubectl(NEW, self.layout.kubeconfig, home)
        text = self.layout.kubeconfig.read_text()
        other = home / "second.yaml"
        other.write_text(text.replace(f":{cluster.record.api_port}", f":{self.port}"))
        self.second = Kubectl(NEW, other, home)

    async def start(self) -> None:
        """As docs/store.md says: a token, and what it buys. The node finds the new controller by itself."""
        token = self.home / "token.json"
        _tsujiban("token", "-o", str(token), "--cluster", self.layout.cluster)
        _tsujiban("join", "--token-file", str(token), "--state-dir", str(self.state))
        assert not token.exists()
        fabric = namespace_path(fabric_namespace(self.layout.cluster))
        process = ProcessSpec(
            name=SECOND,
            argv=(sys.executable, "-I", "-m", "tsujiban.controller", "--config", f"{self.state}/config.json"),
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            listen=(
                Listener(address=f"127.0.0.1:{self.port}", name="api"),
                Listener(address=f"{CONTROLLER_ADDRESS}:{PORT}", netns=fabric, name="nodes"),
            ),
        )
        async with SupervisorClient(self.layout.supervisor_socket) as supervisor:
            await supervisor.start(process)

    def stop_first(self) -> ProcessSpec:
        async def stop() -> ProcessSpec:
            async with SupervisorClient(self.layout.supervisor_socket) as supervisor:
                found = await supervisor.specification(specs.CONTROLLER)
                await supervisor.stop(specs.CONTROLLER)
                return found

        return asyncio.run(stop())

    def start_again(self, process: ProcessSpec) -> None:
        async def start() -> None:
            async with SupervisorClient(self.layout.supervisor_socket) as supervisor:
                await supervisor.start(process)

        asyncio.run(start())

    def role(self, kubectl: Kubectl) -> str:
        """Which role the controller of this kubectl has; "" while it, or a node, is not well."""
        done = subprocess.run(
            kubectl.argv("get", "--raw", "/tsujiban/v1/status"),
            capture_output=True, text=True, timeout=PATIENCE, env=kubectl.environment, check=False,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {"healthy": False}
        return str(found["components"][0]["detail"]) if found["healthy"] else ""

    def audited(self, **wanted: str) -> list[dict[str, Any]]:
        """What the second controller's audit log has of pods' subresources."""
        lines = (self.state / "audit" / "audit.log").read_text().splitlines()
        refs = [(line, line.get("objectRef", {})) for line in map(json.loads, lines)]
        return [line for line, ref in refs if all(ref.get(key) == value for key, value in wanted.items())]


def _tsujiban(*words: str) -> None:
    argv = [sys.executable, "-m", "tsujiban", "controller", *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """On its own, so that a pair that does not come up can still be asked why."""
    name = unique_cluster()
    with etcdbed.single() as etcd:
        try:
            yield up(name, 1, lambda _: None, store=etcd.config)
        finally:
            down(name)


@pytest.fixture(scope="module")
def pair(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    made = Pair(cluster, tmp_path_factory.mktemp("home"))
    made.first("apply", "-f", str(MANIFESTS / "pods.yaml"))
    asyncio.run(made.start())
    assert until(lambda: made.role(made.second).startswith("stands by for"), PATIENCE)
    made.second("wait", "--for=condition=Ready", "pod", "-l", "set=pods", WAIT)
    return made


@pytest.mark.parametrize("way", [{}, BARE_SPDY], ids=["websocket", "spdy"])
def test_pods_are_reached_through_the_one_that_stands_by(pair: Pair, way: dict[str, str]) -> None:
    kubectl = pair.second
    assert kubectl("exec", "-i", "talker", "--", "tr", "a-z", "A-Z", stdin="hello", env=way) == "HELLO"
    said = kubectl("exec", "talker", "--", "sh", "-c", "echo out; echo err >&2; exit 7", code=7, env=way)
    assert said.splitlines()[:2] == ["out", "err"]
    hearing = kubectl.start("attach", "talker", env=way)
    forwarding = kubectl.start("port-forward", "pod/web", ":8080", env=way)
    try:
        assert until(lambda: read_line(hearing).startswith("line "), PATIENCE)
        found = re.search(r"127\.0\.0\.1:(\d+) -> 8080", read_line(forwarding))
        assert found is not None
        answer = httpx.get(f"http://127.0.0.1:{found[1]}/", trust_env=False, timeout=PATIENCE)
        assert "sources.list" in answer.text
    finally:
        for client in (hearing, forwarding):
            client.kill()
            client.communicate()


def test_logs_and_flows_are_everywhere(pair: Pair) -> None:
    assert until(lambda: "line 3\n" in pair.second("logs", "talker"), PATIENCE)
    address = json.loads(pair.second("get", "pod", "web", "-o", "json"))["status"]["podIP"]
    url = f"http://{address}:8080/"
    assert "sources.list" in pair.second("exec", "talker", "--", "curl", "-sS", "-m", "20", url)

    def both_have_it() -> bool:
        path = "/tsujiban/v1/flows?post=proxy&endpoint=default/web"
        return all(address in kubectl("get", "--raw", path) for kubectl in (pair.first, pair.second))

    assert until(both_have_it, PATIENCE)


def test_a_token_that_one_has_signed_is_good_at_the_other(pair: Pair) -> None:
    for issuer, other in ((pair.first, pair.second), (pair.second, pair.first)):
        spec = {"token": issuer("create", "token", "default").strip()}
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        said = other("create", "-f", "-", "-o", "json", stdin=json.dumps(review))
        assert json.loads(said)["status"].get("authenticated") is True
    found = json.loads(pair.first("get", "--raw", "/openid/v1/jwks"))["keys"]
    assert len({key["kid"] for key in found}) == 2
    assert "NotFound" in pair.first("get", "--raw", "/apis/internal.tsujiban.io/v1/tokenkeys", code=1)


def test_of_machines_that_bring_one_token_to_two_controllers_one_gets_it(pair: Pair, tmp_path: Path) -> None:
    ports = (pair.cluster.record.api_port, pair.port) * 2

    async def all_join(ticket: Ticket, below: Path) -> list[ControllerConfig | BaseException]:
        joins = (
            enrol(
                msgspec.structs.replace(ticket, server=f"https://127.0.0.1:{port}"),
                below / str(number) / "state",
                {},
                {},
            )
            for number, port in enumerate(ports)
        )
        return await asyncio.gather(*joins, return_exceptions=True)

    def joined() -> bool:
        """Whether one has got it; none has when etcd, or a controller, did not answer in time."""
        with pair.cluster.client() as client:
            made = msgspec.convert(client.controller_token(600), TokenMade)
        ticket = Ticket(
            server="", controller_token=made.token, ca_sha256=made.ca_sha256, expires=made.expires
        )
        below = tmp_path / made.token.partition(".")[0]
        found = asyncio.run(all_join(ticket, below))
        won = [one for one in found if isinstance(one, ControllerConfig)]
        assert len(won) == len(list(below.glob("*/state"))) <= 1
        assert all(isinstance(one, ControllerConfig | JoinError | ControllerUnreachable) for one in found)
        return len(won) == 1

    assert until(joined, PATIENCE)


def test_who_may_not_is_refused_there_and_both_are_audited_there(pair: Pair) -> None:
    def run_as(user: str) -> str:
        trying = pair.second.start("exec", "talker", f"--as={user}", "--", "id")
        return trying.communicate(timeout=PATIENCE)[0]

    pair.second("create", "role", "runner", "--verb=create", "--resource=pods/exec")
    pair.second("create", "rolebinding", "runner", "--role=runner", "--user=somebody")
    for user in ("nobody", "somebody"):  # kubectl reads the pod first
        pair.second("create", "rolebinding", user, "--clusterrole=view", f"--user={user}")
    # a right is known a moment after it was written
    assert until(lambda: "pods/exec" in run_as("nobody"), PATIENCE)
    assert until(lambda: "uid=" in run_as("somebody"), PATIENCE)

    def told() -> set[tuple[str, int]]:
        return {
            (line["impersonatedUser"]["username"], line["responseStatus"]["code"])
            for line in pair.audited(subresource="exec", name="talker")
            if "impersonatedUser" in line and "responseStatus" in line
        }

    assert until(lambda: {("nobody", 403), ("somebody", 101)} <= told(), PATIENCE)


def test_what_goes_through_one_goes_on_when_the_other_ends(pair: Pair) -> None:
    through = pair.second.argv("exec", "-i", "talker", "--", "cat")
    talking = subprocess.Popen(
        through, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=pair.second.environment
    )
    following = pair.second.start("logs", "-f", "talker", "--tail=1")
    leaving = pair.first.start("exec", "talker", "--", "sleep", "1000")

    def echoed(line: str) -> bool:
        assert talking.stdin is not None
        talking.stdin.write(line)
        talking.stdin.flush()
        return read_line(talking) == line

    try:
        assert echoed("before\n")
        assert until(
            lambda: "sleep 1000" in pair.second("exec", "talker", "--", "ps", "-eo", "args"), PATIENCE
        )
        process = pair.stop_first()  # it leads
        assert leaving.wait(PATIENCE) != 0  # its own clients are told
        assert echoed("meanwhile\n")
        assert until(lambda: pair.role(pair.second).startswith("leads; "), PATIENCE)
        pair.start_again(process)
        assert until(lambda: pair.role(pair.first).startswith("stands by for"), PATIENCE)
        assert echoed("after\n")
        numbers = [int(read_line(following).split()[1]) for _ in range(10)]
        assert numbers == list(range(numbers[0], numbers[0] + 10))  # no line is missing
        assert pair.first("exec", "-i", "talker", "--", "cat", stdin="changed places") == "changed places"
        assert talking.stdin is not None
        talking.stdin.close()
        assert talking.wait(PATIENCE) == 0
    finally:
        for client in (talking, following, leaving):
            client.kill()
            client.wait()
