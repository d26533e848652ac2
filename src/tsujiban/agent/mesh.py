"""What a pod needs of the mesh: seen from the pod, so that sidecar and node proxy can both give it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from tsujiban.agent.containers import Place
from tsujiban.policy.program import EndpointProgram
from tsujiban.resources.kinds.core import Pod
from tsujiban.supervise.client import ProcessStatus


class PodMesh(Protocol):
    """How pods join and leave the mesh, in one of the ways of being in it."""

    async def join(self, key: str, pod: Pod, place: Place, program: EndpointProgram) -> None:
        """Bring a pod, whose sandbox and link exist, into the mesh; returns when its proxy serves.

        May be repeated, also by an agent that has been restarted. Raises OSError and what the
        supervisor raises; the pod's containers do not start then.
        """

    async def leave(self, key: str, pod: Pod, place: Place) -> None:
        """Take a pod out of the mesh. Its redirect stays: closed, until something else is put in its
        place. May be repeated, also for a pod that never was in the mesh."""

    def ready(self, key: str) -> bool:
        """Whether the pod's proxy holds all that it should."""

    def serves(self, key: str, processes: Mapping[str, ProcessStatus]) -> bool:
        """Whether the pod's proxy has held everything once since it was started; while it takes a change
        it goes on serving. `processes` are the pod's, by name."""

    async def behind(self) -> tuple[str, ...]:
        """The proxies that go on with older policy because they are not connected: no revision is in
        force before they have taken it."""
