"""What a pod needs of its node, in memory: a supervisor, a mesh, links. For tests of pods' lives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tsujiban.agent import containers, envfiles, podrunner
from tsujiban.agent.config import AgentConfig
from tsujiban.agent.containers import Place
from tsujiban.agent.enforcer import Enforcer
from tsujiban.agent.pods import Pods
from tsujiban.network import links
from tsujiban.policy.program import EndpointProgram, Mesh, NodeDelta, NodeState
from tsujiban.resources.kinds.core import Pod
from tsujiban.supervise.client import ProcessStatus, Refused, SupervisorGone
from tsujiban.supervise.spec import ProcessSpec
from tsujiban.wire.messages import Enforced, NodeConfig, PodsDelta, PodStatus

NETWORK = NodeConfig(
    trust_domain="cluster.local",
    trust_bundle_pem="pem",
    pod_blocks=("10.244.0.0/26",),
    pod_cidrs=("10.244.0.0/16",),
    service_cidrs=("10.96.0.0/16",),
    dns_address="10.96.0.10",
    cluster_domain="cluster.local",
)


def process(name: str, state: str = "running", **fields: Any) -> ProcessStatus:
    base: dict[str, Any] = {
        "pid": 10, "start_ticks": 1, "restarts": 0, "started_at": 1.0, "exited_at": 0.0,
        "last_exit": None, "error": "", "rss_bytes": 0, "private_bytes": 0, "log": "",
    }  # fmt: skip
    return ProcessStatus(name=name, state=state, **{**base, **fields})


class Supervisor:
    """Keeps processes in a dictionary. `gate`, when clear, holds every stop; `gone` makes all fail."""

    def __init__(self, journal: list[str]) -> None:
        self.processes: dict[str, ProcessStatus] = {}
        self.journal = journal
        self.gate = asyncio.Event()
        self.gate.set()
        self.gone = False
        self.killed: Callable[[str], object] = lambda _name: None
        self.signals: list[int] = []
        self.differs = False  # whether what is there is of another specification than what is asked for
        self.older = False  # whether it does not know `later`

    def _check(self) -> None:
        if self.gone:
            raise SupervisorGone("no supervisor answers")

    async def start(self, spec: ProcessSpec, *, replace: bool = False, later: bool = False) -> ProcessStatus:
        self._check()
        if self.differs and spec.name in self.processes:
            if replace:
                await self.stop(spec.name)
            elif self.older or not later:
                raise Refused("it runs with another specification")
        if spec.name not in self.processes:
            self.journal.append(f"start {spec.name}")
            self.processes[spec.name] = process(spec.name)
        return self.processes[spec.name]

    async def stop(self, name: str, *, forget_log: bool = False) -> None:
        await self.gate.wait()
        self._check()
        if self.processes.pop(name, None) is not None:
            self.journal.append(f"stop {name}")

    async def kill(self, name: str, signal: int) -> None:
        self._check()
        self.signals.append(signal)
        self.journal.append(f"kill {name}")
        self.killed(name)

    async def list(self, prefix: str = "") -> list[ProcessStatus]:
        self._check()
        return [status for name, status in self.processes.items() if name.startswith(prefix)]


class EasyMesh:
    """A mesh that takes everybody in at once."""

    def __init__(self, journal: list[str]) -> None:
        self.journal = journal

    async def join(self, key: str, pod: Pod, _place: Place, _program: EndpointProgram) -> None:
        self.journal.append(f"join {pod.metadata.uid}")

    async def leave(self, key: str, pod: Pod, _place: Place) -> None:
        self.journal.append(f"leave {pod.metadata.uid}")

    async def part(self, key: str) -> None:
        self.journal.append(f"part {key}")

    async def flush(self, key: str, pod: Pod, _place: Place, left: Callable[[], float]) -> None:
        self.journal.append(f"flush {pod.metadata.uid}" + (" at once" if left() <= 0 else ""))

    def serves(self, key: str, processes: Mapping[str, ProcessStatus]) -> bool:
        return any(name.endswith("/sidecar") and one.state == "running" for name, one in processes.items())


class Kernel:
    """A post that is always right."""

    name = "kernel"

    async def enforce(self, _state: NodeState, _endpoints: set[str] | None) -> Sequence[str]:
        return ()


class PodBed:
    """A node that runs pods in memory. `journal` is what happened, in order."""

    def __init__(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run = run
        self.journal: list[str] = []
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.supervisor = Supervisor(self.journal)
        self.enforcer = Enforcer([Kernel()], self._acknowledge)
        self.prepare: Callable[[Pod, Place], object] = lambda _pod, _place: None
        monkeypatch.setattr(containers, "prepare", lambda pod, place, tokens: self._prepare(pod, place))
        monkeypatch.setattr(
            links, "add", lambda link: self.journal.append(f"link {link.uid} {link.addresses[0]}")
        )
        monkeypatch.setattr(links, "delete", lambda uid: self.journal.append(f"unlink {uid}"))
        monkeypatch.setattr(
            podrunner.PodRunner, "_remove", lambda runner: self.journal.append(f"removed {runner.uid}")
        )
        config = AgentConfig(
            cluster="t", node="n1", address="172.31.255.11", run_dir=str(run), state_dir=str(run),
            supervisor_socket="", join_file="", controller_host="", controller_port=0,
        )  # fmt: skip
        self.pods = Pods(config, self.enforcer, EasyMesh(self.journal), self.supervisor, self._report)  # type: ignore[arg-type]  # it has all that is asked of one
        self.pods.configure(NETWORK)
        self._revision = 0

    def _prepare(self, pod: Pod, place: Place) -> None:
        directory = containers.sandbox_of(pod, place).directory
        (directory / envfiles.DIRECTORY).mkdir(parents=True, exist_ok=True)
        self.prepare(pod, place)

    async def _acknowledge(self, _message: Enforced) -> None:
        return None

    def _report(self, message: PodStatus) -> None:
        self.reports.append((message.uid, msgspec.json.decode(message.status)))

    def allow(self, key: str, address: str) -> None:
        """Policy for a pod, as the controller sends it before the pod."""
        self._revision += 1
        program = EndpointProgram(id=key, node="n1", addresses=(address,), mesh=Mesh.SIDECAR)
        self.enforcer.take(NodeDelta(revision=self._revision, endpoints={key: program}))

    def want(self, uid: str, address: str, name: str = "web", **spec: Any) -> None:
        """Have a pod run, with its policy."""
        self.allow(f"default/{name}", address)
        self.pods.take(PodsDelta(pods={f"default/{name}": pod(uid, address, name, **spec)}))

    def terminate(self, uid: str, address: str, seconds: int, name: str = "web") -> None:
        """Have a pod end within some seconds, and the controller told of it."""
        raw = msgspec.json.decode(pod(uid, address, name))
        raw["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        raw["metadata"]["deletionGracePeriodSeconds"] = seconds
        self.pods.take(PodsDelta(pods={f"default/{name}": msgspec.json.encode(raw)}))

    def drop(self, name: str = "web") -> None:
        """Have a pod end."""
        self.pods.take(PodsDelta(pods={f"default/{name}": None}))

    def status(self, uid: str) -> dict[str, Any]:
        """What was last said of a pod."""
        return next((status for found, status in reversed(self.reports) if found == uid), {})


def pod(uid: str, address: str, name: str = "web", phase: str = "Pending", **spec: Any) -> bytes:
    """A pod as the controller sends it."""
    return msgspec.json.encode(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "uid": uid},
            "spec": {"containers": [{"name": "m", "image": "host", "command": ["true"]}], **spec},
            "status": {"phase": phase, "podIP": address, "podIPs": [{"ip": address}]},
        }
    )
