"""Probes: is a container ready, is it alive.

A probe of a port connects from inside the pod's network namespace to the pod's loopback
address: neither policy nor the mesh's redirect sees it, and nothing outside can pass for it.
So an application must listen on all addresses or on 127.0.0.1, as Kubernetes' kubelet asks of
the pod's address.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import ssl
import threading
from dataclasses import dataclass, replace

import msgspec

from tsujiban.agent import grpchealth
from tsujiban.agent.objects import ConfigError
from tsujiban.agent.sandbox import Command
from tsujiban.resources.kinds import core
from tsujiban.resources.kinds.meta import Shape
from tsujiban.supervise.netns import call_in

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One probe, with Kubernetes' defaults; times in seconds. Exactly one of `port` and `command`
    is set; with `http` the port is asked for `path`, with `tls` over HTTPS; with `health` it is asked how
    that gRPC service is ("": the whole server)."""

    port: int = 0
    http: bool = False
    tls: bool = False
    path: str = "/"
    health: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    command: tuple[str, ...] = ()
    initial_delay: float = 0
    period: float = 10
    timeout: float = 1
    success_threshold: int = 1
    failure_threshold: int = 3
    grace: float | None = None  # that the container has to end when it fails; None: the pod's


class _Header(Shape, frozen=True):
    name: str
    value: str = ""


class Tally:
    """Turns outcomes into a state, by the probe's thresholds. Pure."""

    def __init__(self, probe: Probe, passing: bool = False) -> None:
        self.passing = passing
        self._probe = probe
        self._run = 0

    def add(self, success: bool) -> bool:
        """Count one outcome; returns whether the container passes now."""
        if success == self.passing:
            self._run = 0
            return self.passing
        self._run += 1
        needed = self._probe.success_threshold if success else self._probe.failure_threshold
        if self._run >= needed:
            self.passing = success
            self._run = 0
        return self.passing


def parse(container: core.Container, probe: core.Probe | None) -> Probe | None:
    """A container's probe; None without one. Raises ConfigError."""
    if probe is None:
        return None
    base = Probe(
        initial_delay=probe.initial_delay_seconds or 0,
        period=probe.period_seconds or 10,
        timeout=probe.timeout_seconds or 1,
        success_threshold=probe.success_threshold or 1,
        failure_threshold=probe.failure_threshold or 3,
        grace=probe.termination_grace_period_seconds,
    )
    if min(base.initial_delay, base.period, base.timeout, base.success_threshold, base.failure_threshold) < 0:
        raise ConfigError(f"container {container.name}: a probe's numbers must not be negative")
    if probe.http_get is not None:
        return _http(container, probe.http_get, base)
    if probe.tcp_socket is not None:
        return replace(base, port=_port(container, probe.tcp_socket.port))
    if probe.grpc is not None:
        return replace(base, port=_port(container, probe.grpc.port), health=probe.grpc.service or "")
    if probe.exec is not None and probe.exec.command:
        return replace(base, command=probe.exec.command)
    raise ConfigError(f"container {container.name}: a probe must be httpGet, tcpSocket, grpc or exec")


def _http(container: core.Container, action: core.HTTPGetAction, base: Probe) -> Probe:
    if action.scheme not in ("", "HTTP", "HTTPS") or action.host:
        raise ConfigError(
            f"container {container.name}: httpGet supports no scheme but HTTP and HTTPS, and no other host"
        )
    try:
        headers = msgspec.convert(action.http_headers or [], tuple[_Header, ...])
    except msgspec.ValidationError as error:
        raise ConfigError(f"container {container.name}: httpHeaders: {error}") from None
    return replace(
        base,
        port=_port(container, action.port),
        http=True,
        tls=action.scheme == "HTTPS",
        path=action.path or "/",
        headers=tuple((header.name, header.value) for header in headers),
    )


def _port(container: core.Container, port: int | str) -> int:
    if isinstance(port, str) and not port.isdecimal():
        for entry in container.ports:
            if entry.name == port:
                return entry.container_port
        raise ConfigError(f"container {container.name}: no port is named {port!r}")
    number = int(port)
    if not 1 <= number <= 65535:
        raise ConfigError(f"container {container.name}: {port!r} is not a port")
    return number


def check_port(netns_path: str, probe: Probe) -> str:
    """Run a tcp, http or gRPC probe inside a namespace. "" is success, else what went wrong. Blocks for
    at most the probe's timeout to connect, and once more for the answer, however slowly it comes:
    the threads that wait here are the agent's."""
    try:
        with call_in(
            netns_path, lambda: socket.create_connection((LOOPBACK, probe.port), probe.timeout)
        ) as connection:
            if not probe.http and probe.health is None:
                return ""
            return _in_time(connection, probe)
    except OSError as error:
        return f"port {probe.port}: {error}"
    except (http.client.HTTPException, grpchealth.HealthError, ValueError) as error:
        # ValueError: an impossible path or header
        return f"port {probe.port}: {type(error).__name__}: {error}"


def _in_time(connection: socket.socket, probe: Probe) -> str:
    """Ask, and hang up when the answer is not complete in time. Raises TimeoutError then."""
    late = threading.Event()

    def hang_up() -> None:
        late.set()
        with contextlib.suppress(OSError):  # it has ended by itself
            connection.shutdown(socket.SHUT_RDWR)

    deadline = threading.Timer(probe.timeout, hang_up)
    deadline.start()
    try:
        answer = _ask(connection, probe)
    except (OSError, http.client.HTTPException, grpchealth.HealthError):
        if late.is_set():
            raise TimeoutError("timed out") from None
        raise
    finally:
        deadline.cancel()
        deadline.join()
    if late.is_set():
        raise TimeoutError("timed out")
    return answer


def _ask(connection: socket.socket, probe: Probe) -> str:
    if probe.health is not None:
        return grpchealth.check(connection, f"{LOOPBACK}:{probe.port}", probe.health)
    if not probe.tls:
        return _get(connection, probe)
    # of a copy, for what is wrapped cannot be hung up any more
    with _UNVERIFIED.wrap_socket(connection.dup()) as secured:
        return _get(secured, probe)


def _unverified() -> ssl.SSLContext:
    """For servers whose certificate nobody looks at, as the kubelet's probes do: who could put another one
    there runs in the container already."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


_UNVERIFIED = _unverified()


def _get(connection: socket.socket, probe: Probe) -> str:
    client = http.client.HTTPConnection(LOOPBACK, probe.port, timeout=probe.timeout)
    client.sock = connection
    headers = {"User-Agent": "tsujiban-probe", "Connection": "close", **dict(probe.headers)}
    client.request("GET", probe.path, headers=headers)
    status = client.getresponse().status
    return "" if 200 <= status < 400 else f"GET {probe.path}: status {status}"


async def run(probe: Probe, netns_path: str, execute: Command | None = None) -> str:
    """Run a probe once: "" is success, else what went wrong. An exec probe runs `execute` (made with
    `sandbox.exec_command`)."""
    if not probe.command:
        return await asyncio.to_thread(check_port, netns_path, probe)
    if execute is None:
        return "not running"
    child = await asyncio.create_subprocess_exec(
        *execute.argv,
        env=execute.env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(probe.timeout):
            code = await child.wait()
    except TimeoutError:
        return f"exec: no answer within {probe.timeout:g} s"
    finally:  # also when nobody wants to know any more
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself, perhaps just now
            child.kill()
        await child.wait()
    return "" if code == 0 else f"exec: exit status {code}"
