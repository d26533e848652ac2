"""A component is healthy when it runs and does its work; else the report says why not."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.support.podbed import Supervisor, process

from tsujiban.agent.config import AgentConfig
from tsujiban.agent.health import Health
from tsujiban.network.birdc import BirdcError, ProtocolState
from tsujiban.wire.messages import Component

UP = ProtocolState("n2", "BGP", "up", "Established")


class Post:
    """A proxy post whose Envoys have the scene's versions."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    @property
    def shared_versions(self) -> tuple[str, ...]:
        return self._scene.envoys

    def versions(self, key: str) -> tuple[str, ...]:
        return self._scene.envoys


class Scene:
    """A node of parts that say what the test wants."""

    def __init__(self, run: Path) -> None:
        config = AgentConfig(
            cluster="t", node="n1", address="172.31.255.11", run_dir=str(run), state_dir=str(run),
            supervisor_socket="", join_file="", controller_host="", controller_port=0,
        )  # fmt: skip
        self.supervisor = Supervisor([])
        for name in ("agent", "bird", "dns", "pods/u1/sidecar"):
            self.supervisor.processes[f"n1/{name}"] = process(f"n1/{name}")
        self.enforcer = SimpleNamespace(problems=(), enforced=7)
        self.kernel = SimpleNamespace(repairs=0)
        self.flows = SimpleNamespace(dropped=0)
        self.descriptors = SimpleNamespace(crowded=frozenset())
        self.sessions: list[ProtocolState] | None = [UP]
        self.served = True
        self.envoys: tuple[str, ...] = ()
        self.error = ""
        svids = SimpleNamespace(
            status=lambda: [SimpleNamespace(pod="default/a", error=self.error, expires=99.0)]
        )
        pods = SimpleNamespace(running=lambda: {"default/a": SimpleNamespace(uid="u1")})
        parts: list[Any] = [
            self.supervisor, self.enforcer, self.kernel,
            SimpleNamespace(name="n1/bird", sessions=self._sessions),
            SimpleNamespace(ready=lambda key: self.served),
            SimpleNamespace(
                ready=lambda key: self.served, pods={"default/a"}, descriptors=self.descriptors
            ),
            svids, pods,
            Post(self), self.flows,
        ]  # fmt: skip
        self.health = Health(config, *parts)

    async def _sessions(self) -> list[ProtocolState]:
        if self.sessions is None:
            raise BirdcError("BIRD does not answer")
        return self.sessions

    def look(self) -> dict[str, Component]:
        return {c.name: c for c in asyncio.run(self.health.look()).components}


def test_all_is_well(tmp_path: Path) -> None:
    found = Scene(tmp_path).look()
    assert {name: c.healthy for name, c in found.items()} == dict.fromkeys(
        ("agent", "kernel", "bird", "dns", "sidecar default/a"), True
    )
    assert found["kernel"].detail == "enforces revision 7"
    assert found["bird"].detail == "1/1 BGP sessions up"
    assert found["sidecar default/a"].certificate_expires == 99.0


def test_records_that_were_dropped_are_told(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.flows.dropped = 3
    assert (scene.look()["agent"].healthy, scene.look()["agent"].detail) == (True, "3 flow records dropped")


def test_what_is_not_enforced_is_told(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.enforcer.problems, scene.kernel.repairs = ("kernel: busy",), 2
    kernel = scene.look()["kernel"]
    assert not kernel.healthy
    assert kernel.detail == "kernel: busy; table repaired 2 times"


def test_bird_needs_all_sessions_an_answer_and_its_configuration(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.sessions = [UP, ProtocolState("n3", "BGP", "start", "Connect")]
    assert (scene.look()["bird"].healthy, scene.look()["bird"].detail) == (False, "1/2 BGP sessions up")
    scene.sessions = None
    assert (scene.look()["bird"].healthy, scene.look()["bird"].detail) == (False, "BIRD does not answer")
    scene.sessions, scene.health.routing_error = [UP], "no such file"
    assert (scene.look()["bird"].healthy, scene.look()["bird"].detail) == (False, "no such file")


def test_a_process_that_does_not_run_or_was_never_started(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    del scene.supervisor.processes["n1/dns"]
    scene.supervisor.processes["n1/pods/u1/sidecar"] = process(
        "n1/pods/u1/sidecar", "backoff", error="exit 1"
    )
    found = scene.look()
    assert (found["dns"].healthy, found["dns"].detail) == (False, "not started")
    sidecar = found["sidecar default/a"]
    assert (sidecar.healthy, sidecar.detail) == (False, "exit 1")


def test_a_sidecar_that_has_not_taken_everything_or_cannot_renew(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.served, scene.error = False, "the controller did not answer"
    sidecar = scene.look()["sidecar default/a"]
    assert (sidecar.healthy, sidecar.detail) == (False, "the controller did not answer")


def test_versions_are_the_tools_own(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert scene.look()["kernel"].version == ""
    scene.health.find_versions()
    assert re.fullmatch(r"nftables v[\d.]+", scene.look()["kernel"].version)
    assert scene.look()["sidecar default/a"].version.startswith("envoy 1.")


def test_an_envoy_is_called_by_its_own_version_and_an_old_one_beside_it_is_told(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.supervisor.processes["n1/proxy"] = process("n1/proxy")
    scene.envoys = ("1.39.0",)
    for name in ("sidecar default/a", "proxy"):
        assert scene.look()[name].version == "envoy 1.39.0"
    scene.envoys = ("1.39.0", "1.40.0")
    for name, serves in (("sidecar default/a", ""), ("proxy", "serves 1 pods; ")):
        found = scene.look()[name]
        assert found.version == "envoy 1.39.0, 1.40.0"
        assert found.detail == f"{serves}an Envoy before this one still has connections"
        assert found.healthy


def test_the_nodes_proxy_is_healthy_when_it_serves_all_its_pods(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert "proxy" not in scene.look()
    scene.supervisor.processes["n1/proxy"] = process("n1/proxy")
    proxy = scene.look()["proxy"]
    assert (proxy.healthy, proxy.detail, proxy.certificate_expires) == (True, "serves 1 pods", 99.0)
    scene.descriptors.crowded = frozenset({"default/a"})
    said = "more than half full, and so closed to new connections of default/a"
    assert scene.look()["proxy"].detail == said
    scene.descriptors.crowded = frozenset()
    scene.served, scene.error = False, "refused"
    proxy = scene.look()["proxy"]
    assert (proxy.healthy, proxy.detail) == (False, "not served yet: default/a; default/a: refused")
