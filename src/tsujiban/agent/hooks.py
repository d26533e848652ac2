"""What a container asks to be done when it has started and before it is stopped (`lifecycle`). Pure.

Source: Kubernetes documentation, "Container Lifecycle Hooks".
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace

import msgspec

from tsujiban.agent import probes
from tsujiban.agent.objects import ConfigError
from tsujiban.resources.kinds import core, parts

LONGEST = 86_400.0  # seconds that a request or command may take: what ends it is the pod's grace


@dataclass(frozen=True, slots=True)
class Hook:
    """A command or request, or a time to wait (seconds)."""

    probe: probes.Probe | None = None
    sleep: float = 0.0


@dataclass(frozen=True, slots=True)
class Hooks:
    """Of one container."""

    post_start: Hook | None = None
    pre_stop: Hook | None = None
    stop_signal: int = signal.SIGTERM


def parse(container: core.Container) -> Hooks:
    """Raises ConfigError."""
    if container.lifecycle is None:
        return Hooks()
    try:
        found = msgspec.convert(container.lifecycle, parts.Lifecycle)
    except msgspec.ValidationError as error:
        raise ConfigError(f"container {container.name}: lifecycle: {error}") from None
    return Hooks(
        _hook(container, "postStart", found.post_start),
        _hook(container, "preStop", found.pre_stop),
        _signal(found.stop_signal),
    )


def _hook(container: core.Container, field: str, handler: parts.LifecycleHandler | None) -> Hook | None:
    if handler is None:
        return None
    if handler.sleep is not None:
        return Hook(sleep=max(0.0, float(handler.sleep.seconds)))
    asked = core.Probe(http_get=handler.http_get, tcp_socket=handler.tcp_socket, exec=handler.exec)
    try:
        probe = probes.parse(container, asked)
    except ConfigError as error:
        raise ConfigError(f"lifecycle.{field}: {error}") from None
    return None if probe is None else Hook(replace(probe, timeout=LONGEST))


def _signal(name: str | None) -> int:
    if not name:
        return signal.SIGTERM
    try:
        return signal.Signals[name]
    except KeyError:
        raise ConfigError(f"lifecycle.stopSignal: {name!r} is no signal") from None
