"""The tokens that a pod's projected volumes hold (`serviceAccountToken`): got, kept fresh, checked.

A token is asked of the controller for the audience that the pod names, bound to the pod, and a new one before
four fifths of its life are over (or a day, as the kubelet does). An agent that starts again goes on with the
tokens that are in the volumes. They are never on a disk of ours, and in no log.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from tsujiban.agent import atomicwriter, volumes
from tsujiban.agent.objects import ConfigError
from tsujiban.agent.podtokens import AskToken
from tsujiban.identity.jwt import unverified
from tsujiban.identity.rotation import SignFailed, retry_delay
from tsujiban.resources.kinds.core import Pod

log = structlog.get_logger(__name__)

RENEW_AT = 0.8  # of its life, at the latest
SPREAD = 0.05  # of its life, by which some are renewed earlier
OLDEST = 24 * 3600.0  # seconds

Place = tuple[str, str]  # volume and path


class _Claims(msgspec.Struct):
    aud: list[str]
    exp: float
    iat: float


class _Wanted(msgspec.Struct, frozen=True):
    audience: str
    seconds: int


class VolumeTokens:
    """Those of one pod. `tokens` is what volumes are made of."""

    def __init__(
        self, key: str, pod: Pod, directory: Path, ask: AskToken, changed: Callable[[], None]
    ) -> None:
        """`directory` holds the pod's volumes; `changed` is called when one was renewed. Raises
        ConfigError."""
        self.tokens: dict[Place, bytes] = {}
        self._key = key
        self._uid = pod.metadata.uid
        self._directory = directory
        self._ask = ask
        self._changed = changed
        self._wanted = {
            (volume.name, source.path): _Wanted(source.audience, source.seconds)
            for volume, source in volumes.tokens(pod)
        }
        self._due: dict[Place, float] = {}  # UNIX seconds: when a new one is asked for

    async def ensure(self) -> None:
        """Have all tokens. Raises ConfigError when one cannot be had, and none is there."""
        for place, wanted in self._wanted.items():
            if place in self.tokens:
                continue
            left = await asyncio.to_thread(self._left_over, place, wanted)
            if left is not None and self._take(place, left, wanted):
                continue
            try:
                await self._renew(place, wanted)
            except SignFailed as error:
                raise ConfigError(f"volume {place[0]!r}: no token: {error}") from None

    async def keep(self) -> None:
        """Renew them in time. Until cancelled."""
        failures = 0
        while self._due:
            place = min(self._due, key=self._due.__getitem__)
            wait = self._due[place] - time.time()
            if wait > 0:
                await asyncio.sleep(min(wait, 60.0))  # the clock may jump: look again
                continue
            try:
                await self._renew(place, self._wanted[place])
                self._changed()
                failures = 0
            except SignFailed as error:
                failures += 1
                log.warning(
                    "token of a volume not renewed", pod=self._key, volume=place[0], reason=str(error)
                )
                await asyncio.sleep(retry_delay(failures, random.random()))  # noqa: S311  # jitter

    async def _renew(self, place: Place, wanted: _Wanted) -> None:
        issued = await self._ask(self._key, self._uid, wanted.seconds, wanted.audience)
        if not self._take(place, issued.token.encode(), wanted):
            raise SignFailed(
                f"the controller sent no token for {wanted.audience or 'the API'!r}; is it older?"
            )

    def _take(self, place: Place, token: bytes, wanted: _Wanted) -> bool:
        """Whether it is a token for whom it is meant for, and still good. A controller that knows of no
        audiences would send one for the API, which nobody else may hold."""
        claims = _claims(token)
        if (
            claims is None
            or claims.exp <= time.time()
            or (wanted.audience and claims.aud != [wanted.audience])
        ):
            return False
        life = claims.exp - claims.iat
        spread = random.uniform(0, SPREAD) * life  # noqa: S311  # jitter
        self._due[place] = min(claims.iat + RENEW_AT * life - spread, claims.iat + OLDEST)
        self.tokens[place] = token
        return True

    def _left_over(self, place: Place, wanted: _Wanted) -> bytes | None:
        """The token that an agent before this one put there."""
        where = atomicwriter.present(self._directory / place[0])
        try:
            return None if where is None else (where / place[1]).read_bytes()
        except OSError:
            return None


def _claims(token: bytes) -> _Claims | None:
    try:
        return msgspec.convert(unverified(token.decode()), _Claims)
    except (UnicodeDecodeError, msgspec.ValidationError):
        return None
