"""A pod's service account token: three files that its containers see, kept fresh.

`token`, `ca.crt` and `namespace`, where Kubernetes' clients look for them. They are in the node's run
directory (memory), the containers' user alone can read the token, and it is replaced as a whole, so
that nobody reads half of one. The key that signs it never comes here.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import structlog

from tsujiban.agent.sandbox import Mount
from tsujiban.identity.rotation import SignFailed, retry_delay
from tsujiban.resources.kinds.core import Pod
from tsujiban.wire.messages import TokenIssued

log = structlog.get_logger(__name__)

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
LIFETIME = 3607  # seconds, as the kubelet asks for
RENEW_AT = 0.8  # of its life
_AGAIN = 5.0  # seconds after which a refused token is asked for again
_LEAST_LEFT = 60.0  # seconds that a token found on the disk must still live

# namespace/name, uid, seconds, audience ("": the API); raises SignFailed
AskToken = Callable[[str, str, int, str], Awaitable[TokenIssued]]


class Placed(Protocol):
    """What of a pod's place matters here."""

    @property
    def container_uid(self) -> int:
        """User of the containers."""

    @property
    def trust_bundle_pem(self) -> str:
        """What the API is verified by."""


def wants_token(pod: Pod) -> bool:
    """Whether the pod gets one: unless it, or its account (the controller says so in the pod), opts out."""
    return pod.spec.automount_service_account_token is not False


def with_token(pod: Pod, directory: Path, mounts: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """A container's mounts and that of the token, unless it has mounted something there itself."""
    taken = any(os.path.normpath(mount.target) == MOUNT_PATH for mount in mounts)
    if taken or not wants_token(pod):
        return mounts
    return (*mounts, Mount(str(token_directory(directory)), MOUNT_PATH))


def token_directory(sandbox: Path) -> Path:
    """Where the files are on the machine."""
    return sandbox / "serviceaccount"


class PodToken:
    """The files of one pod."""

    def __init__(self, key: str, pod: Pod, sandbox: Path, place: Placed, ask: AskToken) -> None:
        self._key = key
        self._pod = pod
        self._directory = token_directory(sandbox)
        self._place = place
        self._ask = ask
        self._renew_at = 0.0  # UNIX seconds

    async def ensure(self) -> None:
        """Have the files there. A token that an earlier agent got and that is good for a while stays.
        One that is refused (there is no such account) is asked for again later: it holds up no pod. Raises
        OSError."""
        await asyncio.to_thread(self._lay_out)
        until = await asyncio.to_thread(self._expires)
        if until - time.time() > _LEAST_LEFT:
            return
        try:
            await self._renew()
        except SignFailed as error:
            log.warning("pod begins without a token", pod=self._key, reason=str(error))
            self._renew_at = time.time() + _AGAIN

    async def keep(self) -> None:
        """Renew the token in time. Until cancelled."""
        failures = 0
        while True:
            wait = self._renew_at - time.time()
            if wait > 0:
                await asyncio.sleep(min(wait, 60.0))  # the clock may jump: look again
                continue
            try:
                await self._renew()
                failures = 0
            except (SignFailed, OSError) as error:
                failures += 1
                log.warning("token not renewed", pod=self._key, reason=str(error))
                await asyncio.sleep(retry_delay(failures, secrets.randbelow(1000) / 1000))

    async def _renew(self) -> None:
        asked = time.time()
        issued = await self._ask(self._key, self._pod.metadata.uid, LIFETIME, "")
        await asyncio.to_thread(self._write, "token", issued.token.encode(), 0o400, issued.expires)
        self._renew_at = asked + RENEW_AT * max(issued.expires - asked, 0.0)

    def _lay_out(self) -> None:
        self._directory.mkdir(mode=0o755, exist_ok=True)
        self._write("ca.crt", self._place.trust_bundle_pem.encode(), 0o444)
        self._write("namespace", (self._pod.metadata.namespace or "default").encode(), 0o444)

    def _write(self, name: str, content: bytes, mode: int, expires: float = 0.0) -> None:
        """Replace a file as a whole. The time of a token's file is when it ends."""
        temporary = self._directory / f".{name}.{secrets.token_hex(8)}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                os.fchown(file.fileno(), self._place.container_uid, self._place.container_uid)
                os.fchmod(file.fileno(), mode)
            if expires:
                os.utime(temporary, (expires, expires))
            temporary.replace(self._directory / name)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _expires(self) -> float:
        try:
            return (self._directory / "token").stat().st_mtime
        except FileNotFoundError:
            return 0.0


class Kept(Protocol):
    """What must be renewed in time."""

    async def keep(self) -> None:
        """Until cancelled."""


@asynccontextmanager
async def renewed(*tokens: Kept | None) -> AsyncIterator[None]:
    """Keep tokens fresh while the block runs."""
    keeping = [asyncio.create_task(token.keep()) for token in tokens if token is not None]
    try:
        yield
    finally:
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)
