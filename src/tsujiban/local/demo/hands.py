"""Hands inside a running cluster: apply, wait, and do things in pods as their own programs would.

Everything goes through the doors that a user has, the command line and the API; what happens inside a
pod happens under the pod's own user. Waiting is polling with a deadline.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tsujiban.agent import sandbox_init
from tsujiban.agent.sandbox import Command
from tsujiban.controller.api.cells import conditions
from tsujiban.local.client import Client
from tsujiban.local.cluster import LocalCluster, NotRunning
from tsujiban.resources.registry import resolve

Json = dict[str, Any]
T = TypeVar("T")

SYSTEM_PYTHON = "/usr/bin/python3"
NAMESPACE = "default"
POLL_SECONDS = 0.03
SOON_SECONDS = 120.0  # for what must come about in the end: only a machine that stands still takes so long
WAIT = ("--wait", f"--timeout={SOON_SECONDS:.0f}")
PATIENCE = 15.0  # of an application inside a pod, for an answer that comes
DENIED_PATIENCE = 2.5  # for one that may not: the kernel says no by silence


class DemoError(Exception):
    """Something that an act needs did not come about; the text says what."""


class Answer(NamedTuple):
    """What an application got for a request; status 0 is: no answer, and `error` says why."""

    status: int
    body: str
    error: str
    headers: dict[str, str]
    seconds: float

    def __str__(self) -> str:
        return f"HTTP {self.status}" if self.status else f"no answer ({self.error.partition(':')[0]})"


class Hands:
    """One running cluster."""

    def __init__(self, cluster: LocalCluster, client: Client) -> None:
        self.cluster = cluster
        self.client = client

    def sandbox_user(self, process: str) -> int:
        """The user id that a sandboxed process runs as."""
        user = json.loads(self.cluster.specification(process).env[sandbox_init.VARIABLE])
        return int(user["uid"])

    # ------------------------------------------------------------------ waiting

    async def until(self, what: str, seconds: float, look: Callable[[], Awaitable[T | None]]) -> T:
        """Poll `look` until it returns something. Raises DemoError after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            found = await look()
            if found is not None:
                return found
            if time.monotonic() > deadline:
                raise DemoError(f"{what}: not after {seconds:.0f} s")
            await asyncio.sleep(POLL_SECONDS)

    # ------------------------------------------------------------------ commands

    async def tsujiban(self, *words: str) -> str:
        """Run the real command line, as a user would; its standard output. Raises DemoError."""
        code, out, err = await run(
            [sys.executable, "-m", "tsujiban", *words, "--cluster", self.cluster.layout.cluster]
        )
        if code > 1:  # 1 is an answer: no
            raise DemoError(f"tsujiban {' '.join(words)} failed ({code}): {err.strip() or out.strip()}")
        return out

    async def apply(self, objects: list[Json]) -> None:
        """Apply objects that are no files."""
        await asyncio.to_thread(self.client.apply, objects)

    async def delete(self, kind: str, namespace: str | None, name: str) -> None:
        """Delete an object and wait until it is gone."""
        found = resolve(kind)
        await asyncio.to_thread(self.client.delete, found, namespace, name)

        async def gone() -> bool | None:
            return None if await asyncio.to_thread(self.client.exists, found, namespace, name) else True

        await self.until(f"{kind} {name} deleted", SOON_SECONDS, gone)

    # ------------------------------------------------------------------ pods

    async def pods(self, namespace: str = NAMESPACE, app: str = "") -> list[Json]:
        """Pods of a namespace; of one application when named."""
        labels = f"app={app}" if app else ""
        found = await asyncio.to_thread(self.client.list, resolve("pods"), namespace, labels=labels)
        items: list[Json] = found.get("items", [])
        return items

    async def pod(self, app: str, namespace: str = NAMESPACE) -> Json:
        """The ready pod of an application; waits for it."""

        async def look() -> Json | None:
            for pod in await self.pods(namespace, app):
                if is_ready(pod) and pod["metadata"]["name"].startswith(app):
                    return pod
            return None

        return await self.until(f"pod of {namespace}/{app} ready", SOON_SECONDS, look)

    async def named_pod(self, name: str, namespace: str) -> Json:
        """A pod by its name, once it is ready."""

        async def look() -> Json | None:
            for pod in await self.pods(namespace):
                if pod["metadata"]["name"] == name and is_ready(pod):
                    return pod
            return None

        return await self.until(f"pod {namespace}/{name} ready", SOON_SECONDS, look)

    async def inside(self, pod: Json, command: list[str], *, stdin: bytes = b"", container: str = "") -> str:
        """Run a command as one of the pod's containers would. Raises DemoError."""
        entering = await self.entering(pod, command, container)
        code, out, err = await run(list(entering.argv), stdin, entering.env)
        if code:
            raise DemoError(f"{command[0]} inside {pod['metadata']['name']} failed ({code}): {err.strip()}")
        return out

    async def entering(self, pod: Json, command: list[str], container: str = "") -> Command:
        """The command that runs `command` inside a pod, and its environment; waits for the container."""
        meta = pod["metadata"]

        async def look() -> Command | None:
            words = (meta["namespace"], meta["name"], container, tuple(command))
            try:
                return await asyncio.to_thread(self.cluster.exec_command, *words)
            except NotRunning:
                return None

        return await self.until(f"a container of {meta['name']} to enter", SOON_SECONDS, look)

    async def script(
        self, pod: Json, name: str, *arguments: str, stdin: bytes = b"", container: str = ""
    ) -> Json:
        """Run one of the programs in `inside/` in a pod; the JSON that it prints."""
        out = await self.inside(pod, script_command(name, *arguments), stdin=stdin, container=container)
        found: Json = json.loads(out.splitlines()[-1])
        return found

    async def script_as_root(self, pod: Json, name: str, *, stdin: bytes) -> Json:
        """As `script`, by root of the node in the pod's network, which is how its node's Envoy gets there."""
        meta = pod["metadata"]
        netns = await asyncio.to_thread(self.cluster.pod_netns, meta["namespace"], meta["name"])
        code, out, err = await run(["ip", "netns", "exec", netns, *script_command(name)], stdin)
        if code:
            raise DemoError(f"{name} in the network of {meta['name']} failed ({code}): {err.strip()}")
        found: Json = json.loads(out.splitlines()[-1])
        return found

    async def request(
        self, pod: Json, method: str, url: str, body: str = "", seconds: float = PATIENCE
    ) -> Answer:
        """One HTTP request, made by the pod's own Python."""
        found = await self.script(pod, "request", method, url, str(seconds), stdin=body.encode())
        return Answer(**found)


def is_ready(pod: Json) -> bool:
    """Whether a pod is ready and not on its way out."""
    return conditions(pod).get("Ready") == "True" and not pod["metadata"].get("deletionTimestamp")


def address(pod: Json) -> str:
    """A pod's address."""
    return str(pod["status"]["podIP"])


def script_command(name: str, *arguments: str) -> list[str]:
    """The command that runs a program of `inside/`, its text in the command line."""
    text = (Path(__file__).parent / "inside" / f"{name}.py").read_text(encoding="utf-8")
    return [SYSTEM_PYTHON, "-I", "-c", text, *arguments]


async def run(argv: list[str], stdin: bytes = b"", env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Run a command to its end: exit code, output, errors. It is killed when we are cancelled."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=pipe, env=env)
    try:
        out, err = await process.communicate(stdin)
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
