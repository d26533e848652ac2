"""What a pod needs of the mesh: seen from the pod, so that sidecar and node proxy can both give it."""

from __future__ import annotations

from typing import Protocol

from tsujiban.agent.containers import Place
from tsujiban.policy.program import EndpointProgram
from tsujiban.resources.kinds.core import Pod

SIDECAR = "sidecar"  # name of the proxy among a pod's processes


class PodMesh(Protocol):
    """How pods join and leave the mesh."""

    async def join(self, key: str, pod: Pod, place: Place, program: EndpointProgram) -> None:
        """Bring a pod, whose sandbox and link exist, into the mesh; returns when its proxy serves.

        May be repeated, also by an agent that has been restarted. Raises OSError and what the
        supervisor raises; the pod's containers do not start then.
        """

    async def leave(self, key: str, pod: Pod, place: Place) -> None:
        """Take a pod, whose containers have ended, out of the mesh. May be repeated."""

    def ready(self, key: str) -> bool:
        """Whether the pod's proxy serves now."""
