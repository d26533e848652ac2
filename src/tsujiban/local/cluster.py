"""A running local cluster, as the commands that work on this machine see it.

The demonstration and the tests reach pods' processes and namespaces where they are: root on this machine owns
them. People's commands go through the API (`local.streams`).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tsujiban.agent import containers
from tsujiban.agent.sandbox import Command, exec_command
from tsujiban.local.client import Client
from tsujiban.local.kubeconfig import read
from tsujiban.local.layout import Layout
from tsujiban.resources.names import pod_namespace
from tsujiban.resources.registry import resolve
from tsujiban.supervise.client import ProcessStatus, Refused, SupervisorClient, SupervisorGone
from tsujiban.supervise.netns import call_in, namespace_path
from tsujiban.supervise.spec import ProcessSpec
from tsujiban.wire.sessions import SIDECAR

T = TypeVar("T")


class NotRunning(Exception):
    """There is no such cluster, pod or container; the text says what to do."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What `up` decided."""

    cluster: str
    nodes: tuple[str, ...]
    api_port: int


class LocalCluster:
    """Make one with `open_cluster`."""

    def __init__(self, layout: Layout, record: Record) -> None:
        self.layout = layout
        self.record = record

    def client(self) -> Client:
        """A client of the API, as administrator."""
        return Client(read(self.layout.kubeconfig))

    # ------------------------------------------------------------ processes

    def processes(self, prefix: str = "") -> list[ProcessStatus]:
        """States of the supervised processes. Raises NotRunning."""
        return self._ask(lambda supervisor: supervisor.list(prefix))

    def process(self, name: str) -> ProcessStatus:
        """State of one process, e.g. `controller`, `node-1/agent`. Raises NotRunning."""
        for status in self.processes(name):
            if status.name == name:
                return status
        raise NotRunning(f"there is no process {name!r} in cluster {self.layout.cluster!r}")

    def specification(self, name: str) -> ProcessSpec:
        """How a process was started. Raises NotRunning, also when it went away since it was listed."""
        try:
            return self._ask(lambda supervisor: supervisor.specification(name))
        except Refused as error:
            raise NotRunning(f"there is no process {name!r} in cluster {self.layout.cluster!r}") from error

    def _ask(self, question: Callable[[SupervisorClient], Awaitable[T]]) -> T:
        async def ask() -> T:
            async with SupervisorClient(self.layout.supervisor_socket) as supervisor:
                return await question(supervisor)

        try:
            return asyncio.run(ask())
        except SupervisorGone as error:
            raise NotRunning(
                f"cluster {self.layout.cluster!r} does not run: start it with `tsujiban up`"
            ) from error

    # ------------------------------------------------------------ pods

    def process_name(self, namespace: str, pod: str, container: str = "") -> str:
        """The supervisor's name of a container ("" is the first one, `sidecar` the proxy)."""
        found = self._pod(namespace, pod)
        names = [c["name"] for c in found["spec"]["containers"]]
        chosen = container or names[0]
        if chosen not in (*names, SIDECAR):
            raise NotRunning(f"pod {namespace}/{pod} has no container {chosen!r}; it has {', '.join(names)}")
        return containers.process_name(found["spec"]["nodeName"], found["metadata"]["uid"], chosen)

    def exec_command(self, namespace: str, pod: str, container: str, argv: tuple[str, ...]) -> Command:
        """The command that runs `argv` in a container, with no more rights than it has."""
        name = self.process_name(namespace, pod, container)
        status = self.process(name)
        try:
            return exec_command(self.specification(name), status.pid, argv)
        except LookupError as error:
            raise NotRunning(f"container of {namespace}/{pod} is not running now: {error}") from error

    def log_path(self, namespace: str, pod: str, container: str = "") -> Path:
        """Where a container's output goes."""
        return Path(self.process(self.process_name(namespace, pod, container)).log)

    def pod_netns(self, namespace: str, pod: str) -> str:
        """Name of a pod's network namespace."""
        return pod_namespace(self.layout.cluster, self._pod(namespace, pod)["metadata"]["uid"])

    def socket_in_pod(
        self, namespace: str, pod: str, address: str, port: int, seconds: float = 10
    ) -> socket.socket:
        """A TCP connection that starts in the pod, as one of its containers would make it. Making it, and
        each use of it, may take `seconds`. Raises OSError."""
        path = namespace_path(self.pod_netns(namespace, pod))
        return call_in(path, lambda: socket.create_connection((address, port), timeout=seconds))

    def _pod(self, namespace: str, pod: str) -> dict[str, Any]:
        with self.client() as client:
            found = client.get(resolve("pods"), namespace, pod)
        if not found["spec"].get("nodeName"):
            raise NotRunning(f"pod {namespace}/{pod} has no node yet")
        return found


def open_cluster(name: str) -> LocalCluster:
    """The cluster of that name. Raises NotRunning, ValueError."""
    layout = Layout(name)
    try:
        record = msgspec.json.decode(layout.record.read_bytes(), type=Record)
    except OSError as error:
        raise NotRunning(
            f"there is no local cluster {name!r} ({error.strerror}): start one with `tsujiban up`"
        ) from error
    return LocalCluster(layout, record)
