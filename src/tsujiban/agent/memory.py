"""What an agent remembers over its own death: the last state, so that it need not wait for the controller.

The kernel and the sidecars go on without an agent. But a sidecar that dies, or a pod whose
container must be probed, needs one; and the controller may be away just then. So the agent keeps
what it was last told on this node's disk (mode 0600; it holds no key), and begins with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import structlog

from tsujiban.identity.files import PrivateFileError, read_private, write_private
from tsujiban.policy.program import NodeDelta, NodeState, SetChange
from tsujiban.wire.messages import PROTOCOL_VERSION, ControllerAddress, NodeConfig, PodsDelta

log = structlog.get_logger(__name__)

WRITE_SECONDS = 1.0  # at most one write in this time
LIMIT = 256 * 1024 * 1024  # bytes


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    protocol: int
    network: NodeConfig
    policy: NodeDelta  # full
    pods: PodsDelta  # full
    controllers: tuple[ControllerAddress, ...] = ()


class Memory:
    """Keeps the file. `network`, `pods` and `controllers` are asked when it is written. Follows the enforcer
    as a post."""

    name = "memory"

    def __init__(
        self,
        path: Path,
        network: Callable[[], NodeConfig],
        pods: Callable[[], PodsDelta],
        controllers: Callable[[], tuple[ControllerAddress, ...]] = tuple,
    ) -> None:
        self._path = path
        self._network = network
        self._pods = pods
        self._controllers = controllers
        self._state: NodeState | None = None
        self._dirty = asyncio.Event()

    async def enforce(self, state: NodeState, endpoints: set[str] | None) -> Sequence[str]:
        """There is something new to remember. Never a reason not to call it enforced."""
        self._state = state
        self._dirty.set()
        return ()

    def touch(self) -> None:
        """The pods, the networks or the controllers have changed."""
        self._dirty.set()

    async def run(self) -> None:
        """Write when there is news. Until cancelled."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if self._state is not None:
                encoded = msgspec.msgpack.encode(self._snapshot(self._state))
                try:
                    await asyncio.to_thread(write_private, self._path, encoded)
                except OSError as error:
                    log.warning("state not remembered", path=str(self._path), reason=str(error))
            await asyncio.sleep(WRITE_SECONDS)

    def _snapshot(self, state: NodeState) -> Remembered:
        return Remembered(
            protocol=PROTOCOL_VERSION,
            network=self._network(),
            policy=full_delta(state),
            pods=self._pods(),
            controllers=self._controllers(),
        )


def full_delta(state: NodeState) -> NodeDelta:
    """The delta that makes `state` out of nothing."""
    sets = {name: SetChange(full=True, added=frozenset(found.members)) for name, found in state.sets.items()}
    services = {
        name: SetChange(full=True, service=True, added_services=frozenset(found.members))
        for name, found in state.service_sets.items()
    }
    return NodeDelta(
        revision=state.revision,
        full=True,
        endpoints=dict(state.endpoints),
        policies=dict(state.policies),
        authorizations=dict(state.authorizations),
        sets={**sets, **services},
        peers=dict(state.peers),
        services=dict(state.services),
    )


def recall(path: Path) -> Remembered | None:
    """What was remembered; None when there is nothing, or nothing that this version understands."""
    try:
        found = msgspec.msgpack.decode(read_private(path, LIMIT), type=Remembered)
    except (PrivateFileError, msgspec.MsgspecError) as error:
        log.info("nothing is remembered", reason=str(error))
        return None
    return found if found.protocol == PROTOCOL_VERSION else None
