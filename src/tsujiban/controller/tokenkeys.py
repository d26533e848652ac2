"""The public halves of every controller's token keys, shared through the store.

Controllers that share a store each sign service account tokens with keys of their own, which never leave
them; a token that one has signed must be good at all. So each puts its public keys where only controllers
write: a kind that no API serves, so nobody can add a key through it. What is found there is believed as much
as anything in the store (who writes the store writes roles, too), and each must have the name that its
content demands.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric import ec

from tsujiban.identity.files import read_private, write_private
from tsujiban.identity.signingkeys import MAX_AGE, SigningKeys, key_identifier, parse_jwk
from tsujiban.resources.names import INTERNAL_GROUP
from tsujiban.store.protocol import AlreadyExists, Key, NotFound, Store, StoreError

log = structlog.get_logger(__name__)

GROUP, RESOURCE = INTERNAL_GROUP, "tokenkeys"
PUBLISH_SECONDS = 30.0
REFRESH_SECONDS = 1.0  # between looks: an attacker may name any key
MAX_KEYS = 1024


class _Spec(msgspec.Struct):
    jwk: dict[str, str]
    made: int
    controller: str


class _Stored(msgspec.Struct):
    spec: _Spec


class TokenKeys:
    """Own keys, and those of the other controllers."""

    def __init__(
        self, store: Store, own: SigningKeys, identity: str, clock: Callable[[], float] = time.time
    ) -> None:
        """`identity` is this controller's, over restarts."""
        self._store = store
        self._own = own
        self._identity = identity
        self._clock = clock
        self._others: dict[str, tuple[ec.EllipticCurvePublicKey, dict[str, str]]] = {}
        self._looked = 0.0  # monotonic
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """Keep what is published true. Until cancelled."""
        while True:
            await asyncio.sleep(PUBLISH_SECONDS)
            try:
                await self.publish()
            except StoreError as error:
                log.warning("token keys are not shared", reason=str(error))

    async def publish(self) -> None:
        """Publish own keys, take away what is ours no more and what is too old, and read the others'. Raises
        StoreError."""
        self._own.rotate()
        own = {jwk["kid"]: (jwk, made) for jwk, made in self._own.published()}
        present = await self._read()
        for kid, (jwk, made) in own.items():
            if kid not in present:
                await self._put(kid, _Spec(jwk=jwk, made=made, controller=self._identity))
        for kid, spec in present.items():
            gone = spec.controller == self._identity and kid not in own
            if gone or spec.made + MAX_AGE < self._clock():
                await self._remove(kid)

    async def public(self, wanted: str) -> Mapping[str, ec.EllipticCurvePublicKey]:
        """The keys among which the one of that id is, if any controller has it. Raises StoreError."""
        own = self._own.public(wanted)
        if wanted in own:
            return own
        if wanted not in self._others:
            await self._look()
        return {kid: key for kid, (key, _) in self._others.items()}

    async def jwks(self) -> dict[str, Any]:
        """All of them, for who verifies tokens without us. Raises StoreError."""
        self._own.rotate()
        await self._look()
        own = [jwk for jwk, _ in self._own.published()]
        known = {jwk["kid"] for jwk in own}
        return {"keys": [*own, *(jwk for kid, (_, jwk) in self._others.items() if kid not in known)]}

    async def _look(self) -> None:
        async with self._looking:  # who comes while another looks waits for what that one finds
            if time.monotonic() - self._looked > REFRESH_SECONDS:
                await self._read()

    async def _read(self) -> dict[str, _Spec]:
        self._looked = time.monotonic()
        items = (await self._store.list(GROUP, RESOURCE)).items
        found: dict[str, _Spec] = {}
        others: dict[str, tuple[ec.EllipticCurvePublicKey, dict[str, str]]] = {}
        for item in items[:MAX_KEYS]:
            try:
                spec = msgspec.json.decode(item.value, type=_Stored).spec
                key = parse_jwk(spec.jwk)
                kid = key_identifier(key)
            except (msgspec.MsgspecError, ValueError) as error:
                log.error("what is published is no token key", name=item.key.name, reason=str(error))
                continue
            if item.key.name != _name(kid) or spec.jwk.get("kid") != kid:
                log.error("a token key is published under another name", name=item.key.name)
                continue
            found[kid] = spec
            if spec.made + MAX_AGE >= self._clock():
                others[kid] = key, spec.jwk
        self._others = others
        return found

    async def _put(self, kid: str, spec: _Spec) -> None:
        document = {
            "apiVersion": f"{GROUP}/v1",
            "kind": "TokenKey",
            "metadata": {"name": _name(kid)},
            "spec": spec,
        }
        try:
            await self._store.create(Key(GROUP, RESOURCE, "", _name(kid)), msgspec.json.encode(document))
        except AlreadyExists:  # a controller that has a copy of it
            return

    async def _remove(self, kid: str) -> None:
        try:
            await self._store.delete(Key(GROUP, RESOURCE, "", _name(kid)))
        except NotFound:
            return


def identity_in(state: Path) -> str:
    """This controller's name among others, made at its first start. Raises OSError, PrivateFileError."""
    path = state / "controller-id"
    if not path.exists():
        write_private(path, secrets.token_hex(16).encode())
    return read_private(path).decode()


def _name(kid: str) -> str:
    """Of the object: key ids have letters of both cases."""
    return hashlib.sha256(kid.encode()).hexdigest()
