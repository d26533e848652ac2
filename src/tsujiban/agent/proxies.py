"""The pods of this node in the mesh, whichever way: by a sidecar each, or by the node's Envoy.

It is the proxy post of the enforcer, and it moves a running pod when its label, or its namespace's,
says something else than before. Its containers are not touched. A move is closed at every moment:
the old proxy ends, the redirect stays and leads nowhere, the new proxy serves, the redirect is
exchanged. A pod that comes in from outside loses the connections that it has: nobody was asked about them
as the mesh would have asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from tsujiban.agent.containers import Place, sandbox_of
from tsujiban.agent.mesh import PodMesh
from tsujiban.agent.quiet import until_quiet
from tsujiban.kernel import redirect
from tsujiban.kernel.nft import NftError
from tsujiban.policy.program import EndpointProgram, Mesh, NodeState
from tsujiban.proxy import sockdiag
from tsujiban.proxy.parting import Parting
from tsujiban.proxy.post import ProxyPost
from tsujiban.resources.kinds.core import Pod
from tsujiban.supervise.client import ProcessStatus, Refused, SupervisorGone

log = structlog.get_logger(__name__)

ENFORCED_SECONDS = 10.0
CLOSING_SECONDS = 2.0  # how long a pod that ends takes new connections: others must hear of its end
MOVE_SECONDS = 5.0  # how long a revision waits for pods that it moves


class _Member:
    """A pod that has been brought up, and how it is in the mesh now."""

    def __init__(self, pod: Pod, place: Place, mesh: Mesh) -> None:
        self.pod = pod
        self.place = place
        self.mesh: Mesh | None = mesh  # None: between two ways
        self.lock = asyncio.Lock()
        self.trouble = ""


class Proxies:
    """All proxies of this node. `moved` is told when a pod has changed its way."""

    name = "proxy"

    def __init__(
        self, post: ProxyPost, ways: Mapping[Mesh, PodMesh], moved: Callable[[], None] = lambda: None
    ) -> None:
        self._post = post
        self._ways = ways
        self._moved = moved
        self._members: dict[str, _Member] = {}
        self._state = NodeState()
        self._moving: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------ the enforcer's view

    async def enforce(self, state: NodeState, endpoints: set[str] | None) -> Sequence[str]:
        """Give the proxies their part, move pods, and wait for everybody's word."""
        self._state = state
        self._post.update(state, endpoints)
        await self._move(state)
        try:
            async with asyncio.timeout(ENFORCED_SECONDS):
                problems = list(await self._post.enforced(state.revision))
                for way in self._ways.values():
                    problems += await way.behind()
        except TimeoutError:
            problems = [f"a proxy has not answered within {ENFORCED_SECONDS:.0f} s"]
        except (SupervisorGone, Refused) as error:
            problems = [f"cannot tell which proxies run: {error}"]
        return (*problems, *self._unmoved(state))

    async def _move(self, state: NodeState) -> None:
        moving = [
            asyncio.create_task(self._move_one(key, member, program), name=f"move {key}")
            for key, member in self._members.items()
            if (program := state.endpoints.get(key)) is not None and member.mesh is not program.mesh
        ]
        if moving:
            self._moving.update(moving)
            for task in moving:
                task.add_done_callback(self._moving.discard)
            await asyncio.wait(moving, timeout=MOVE_SECONDS)
            self._moved()

    async def _move_one(self, key: str, member: _Member, program: EndpointProgram) -> None:
        async with member.lock:
            if self._members.get(key) is not member or member.mesh is program.mesh:
                return
            member.mesh = None
            try:
                await self._bring(key, member.pod, member.place, program)
                if program.mesh is not Mesh.NONE:
                    await asyncio.to_thread(sockdiag.destroy_all, _netns(member.pod, member.place))
            except (OSError, NftError, Refused) as error:
                member.trouble = str(error) or type(error).__name__
                log.warning("pod cannot be moved", pod=key, mesh=str(program.mesh), reason=member.trouble)
            else:
                member.mesh, member.trouble = program.mesh, ""
                log.info("pod moved", pod=key, mesh=str(program.mesh))

    def _unmoved(self, state: NodeState) -> tuple[str, ...]:
        return tuple(
            f"{key} is not in the mesh as it should be ({program.mesh}): {member.trouble or 'moving'}"
            for key, member in sorted(self._members.items())
            if (program := state.endpoints.get(key)) is not None and member.mesh is not program.mesh
        )

    # ------------------------------------------------------------ the pods' view

    async def join(self, key: str, pod: Pod, place: Place, program: EndpointProgram) -> None:
        """Bring a pod, whose sandbox and link exist, to where its program wants it; returns when its
        proxy serves, if it has one. May be repeated, also by an agent that has been restarted.

        Raises OSError, NftError and what the supervisor raises; the pod's containers do not start then.
        """
        while True:
            await self._bring(key, pod, place, program)
            newest = self._state.endpoints.get(key, program)
            if newest.mesh is program.mesh:
                break
            program = newest  # it changed meanwhile, and nobody moves a pod that is not a member yet
        self._members[key] = _Member(pod, place, program.mesh)

    async def _bring(self, key: str, pod: Pod, place: Place, program: EndpointProgram) -> None:
        for mesh, way in self._ways.items():
            if mesh is not program.mesh:
                await way.leave(key, pod, place)
        if program.mesh in self._ways:
            await self._ways[program.mesh].join(key, pod, place, program)
        else:
            await asyncio.to_thread(redirect.remove, _netns(pod, place))

    async def part(self, key: str) -> None:
        """A pod has begun to end: have its proxy take leave of those who speak with it (`proxy.parting`).
        Returns when it takes nobody any more; not to be waited for."""
        self._post.part(key, Parting.CLOSING)
        await asyncio.sleep(CLOSING_SECONDS)
        self._post.part(key, Parting.CLOSED)

    async def flush(self, key: str, pod: Pod, place: Place, left: Callable[[], float]) -> None:
        """The containers of a pod have ended: wait until its proxy has passed on what it has of them, for
        `left()` seconds at most."""
        if self._way(key) is not None and not await until_quiet(_netns(pod, place), left):
            log.warning("connections of a pod are cut while bytes wait in them", pod=key)

    async def leave(self, key: str, pod: Pod, place: Place) -> None:
        """Take a pod out of everything. May be repeated."""
        member = self._members.get(key)
        if member is not None and member.pod.metadata.uid == pod.metadata.uid:
            async with member.lock:
                self._members.pop(key, None)
        for way in self._ways.values():
            await way.leave(key, pod, place)

    def ready(self, key: str) -> bool:
        """Whether the pod's proxy holds all that it should; False for one that has none."""
        way = self._way(key)
        return way is not None and way.ready(key)

    def serves(self, key: str, processes: Mapping[str, ProcessStatus]) -> bool | None:
        """Whether a pod's proxy serves, see `PodMesh.serves`; None when it needs none."""
        member = self._members.get(key)
        if member is None or member.mesh is Mesh.NONE:
            return None
        way = self._way(key)
        return way is not None and way.serves(key, processes)

    def _way(self, key: str) -> PodMesh | None:
        member = self._members.get(key)
        return None if member is None or member.mesh is None else self._ways.get(member.mesh)


def _netns(pod: Pod, place: Place) -> str:
    return sandbox_of(pod, place).netns_path
