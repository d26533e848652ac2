"""What the streaming subresources need to know of a pod: where it runs, what is in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from tsujiban.controller.api.dispatch import Call
from tsujiban.controller.api.errors import ApiError, bad_request
from tsujiban.controller.sessions import PodRef, Session, Sessions, SessionUnavailable
from tsujiban.wire.sessions import Asks

RETRY_SECONDS = 1  # until a node that changes controllers has most likely done so
FINISHED = ("Succeeded", "Failed")


class _Container(msgspec.Struct):
    name: str = ""
    stdin: bool = False
    tty: bool = False


class _Spec(msgspec.Struct, rename="camel"):
    containers: list[_Container] = []
    init_containers: list[_Container] = []
    node_name: str = ""


class _Meta(msgspec.Struct):
    name: str
    namespace: str
    uid: str


class _Status(msgspec.Struct, frozen=True):
    phase: str = ""


class Pod(msgspec.Struct):
    """As much of it as is needed."""

    metadata: _Meta
    spec: _Spec
    status: _Status = _Status()

    @property
    def name(self) -> str:
        """Its name."""
        return self.metadata.name

    @property
    def node(self) -> str:
        """Its node; "" before it has one."""
        return self.spec.node_name

    @property
    def ref(self) -> PodRef:
        """Where it is."""
        return PodRef(self.node, f"{self.metadata.namespace}/{self.name}", self.metadata.uid)

    def container(self, wanted: str, extra: Sequence[str] = ()) -> str:
        """The container that is meant; the only one when none is named.

        Raises:
            ApiError: 400.
        """
        names = [container.name for container in self.spec.containers]
        first = [container.name for container in self.spec.init_containers]
        listed = " ".join(names)
        if not wanted:
            if len(names) != 1:
                raise bad_request(
                    f"a container name must be specified for pod {self.name}, choose one of: [{listed}]"
                )
            return names[0]
        if wanted not in (*names, *first, *extra):
            also = f" or one of the init containers: [{' '.join(first)}]" if first else ""
            also += f", or {' '.join(extra)}" if extra else ""
            raise bad_request(
                f"container {wanted} is not valid for pod {self.name}, choose one of: [{listed}]{also}"
            )
        return wanted

    def has_stdin(self, container: str) -> bool:
        """Whether the container was made with a standard input."""
        return any(entry.stdin for entry in self._all() if entry.name == container)

    def has_terminal(self, container: str) -> bool:
        """Whether the container was made with a terminal."""
        return any(entry.tty for entry in self._all() if entry.name == container)

    def _all(self) -> Iterator[_Container]:
        yield from self.spec.containers
        yield from self.spec.init_containers

    def must_run(self) -> None:
        """Raise ApiError when nothing can be run in it."""
        if not self.node:
            raise bad_request(f"pod {self.name} does not have a host assigned")
        if self.status.phase in FINISHED:
            raise bad_request(f"pod {self.name} has ended; its phase is {self.status.phase}")


async def find(call: Call) -> Pod:
    """The pod that a call is about. Raises NotFound."""
    return msgspec.json.decode((await call.store.get(call.target.key)).value, type=Pod)


@asynccontextmanager
async def session(sessions: Sessions, pod: Pod, ask: Asks) -> AsyncIterator[Session]:
    """A session of the pod.

    Raises:
        ApiError: 400 when there is no such thing, 503 when its node cannot serve it now (with Retry-After,
            when the node is not connected).
    """
    try:
        async with sessions.open(pod.ref, ask) as opened:
            yield opened
    except SessionUnavailable as error:
        if error.missing:
            raise bad_request(str(error)) from None
        details = {"retryAfterSeconds": RETRY_SECONDS} if error.passing else None
        raise ApiError(503, "ServiceUnavailable", str(error), details) from None
