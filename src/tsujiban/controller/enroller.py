"""Gives the authority to machines that are to become controllers: one token, one machine, once.

Free of any web framework; the API serves it. Tokens are kept in the store that the controllers share, so they
are good at each of them, and of several machines that bring one, the store lets one succeed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog

from tsujiban.controller.enrolment import (
    GROUP,
    MAX_SECONDS,
    Authority,
    EnrolRequest,
    TokenMade,
    context,
)
from tsujiban.identity.ca import CertificateAuthority
from tsujiban.identity.sealing import Sealed, SealError, seal
from tsujiban.identity.tokens import (
    FOR_CONTROLLER,
    TokenRecord,
    TokenRefused,
    check_token,
    new_token,
)
from tsujiban.store.protocol import AlreadyExists, Key, NotFound, Store
from tsujiban.wire.join import bundle_digest

log = structlog.get_logger(__name__)

TOKENS = "controllertokens"  # not in the registry: no path leads there
MAX_TOKENS = 32  # that are neither used nor old


class EnrolRefused(Exception):
    """Nothing is given. `str()` may be told to the sender; `token` is the id of the token, if it has one."""

    def __init__(self, reason: str, token: str = "") -> None:
        super().__init__(reason)
        self.token = token


class StoredTokens:
    """Records in the store: a `TokenStore`. Its methods raise StoreError."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    async def add(self, record: TokenRecord) -> None:
        """Keep it; what is old goes. Raises EnrolRefused when too many wait to be used."""
        present = 0
        for item in (await self._store.list(GROUP, TOKENS)).items:
            known = _decoded(item.value)
            if known is None or known.expires <= self._clock():
                await self.consume(item.key.name)
            else:
                present += 1
        if present >= MAX_TOKENS:
            raise EnrolRefused(f"{present} tokens for controllers wait to be used: wait until they are old")
        document = {
            "apiVersion": f"{GROUP}/v1",
            "kind": "ControllerToken",
            "metadata": {"name": record.id},
            "spec": msgspec.to_builtins(record),
        }
        await self._store.create(_key(record.id), msgspec.json.encode(document))

    async def get(self, token_id: str) -> TokenRecord | None:
        """The record, if it was not consumed."""
        try:
            return _decoded((await self._store.get(_key(token_id))).value)
        except NotFound:
            return None

    async def withdraw(self) -> int:
        """Remove all; how many there were."""
        there = [item.key.name for item in (await self._store.list(GROUP, TOKENS)).items]
        return sum([await self.consume(name) for name in there])

    async def consume(self, token_id: str) -> bool:
        """Remove it; the store lets one caller succeed."""
        try:
            await self._store.delete(_key(token_id))
        except NotFound:
            return False
        return True


class Enroller:
    """Makes tokens, and takes them."""

    def __init__(
        self,
        ca: CertificateAuthority,
        tokens: StoredTokens,
        settings: Mapping[str, Any],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`settings` are those that controllers share (`enrolment.shared`)."""
        self._ca = ca
        self._tokens = tokens
        self._settings = dict(settings)
        self._clock = clock
        self._ca_sha256 = bundle_digest(ca.bundle_pem)

    async def invite(self, by: str, seconds: float) -> TokenMade:
        """A new token, which the user `by` asks for, and how it is used. Raises EnrolRefused, StoreError."""
        if not 0 < seconds <= MAX_SECONDS:
            raise EnrolRefused(f"a token for a controller is good for 1 to {MAX_SECONDS} s, not {seconds:g}")
        token, record = new_token("", self._clock(), seconds, purpose=FOR_CONTROLLER, by=by)
        try:
            await self._tokens.add(record)
        except AlreadyExists as error:
            raise EnrolRefused("try again") from error
        log.info("token for a controller made", token=record.id, by=by, expires=record.expires)
        return TokenMade(token=token, ca_sha256=self._ca_sha256, expires=record.expires)

    async def withdraw(self, by: str) -> int:
        """Make all tokens that wait worthless, as the user `by` asks; how many. Raises StoreError."""
        number = await self._tokens.withdraw()
        log.info("tokens for controllers withdrawn", number=number, by=by)
        return number

    async def enrol(self, request: EnrolRequest) -> tuple[Sealed, TokenRecord]:
        """The authority, sealed for who asks, and the token that it took. Raises EnrolRefused, StoreError.

        A bad key leaves the token usable. When it is not known whether the token was taken, nothing is given.
        """
        token_id = request.token.partition(".")[0][:16]
        try:
            record = await check_token(self._tokens, request.token, "", self._clock(), purpose=FOR_CONTROLLER)
            root_pem, intermediate_pem = self._ca.with_keys()
            authority = Authority(
                root_pem=root_pem, intermediate_pem=intermediate_pem, settings=self._settings
            )
            bound = context(self._ca_sha256)
            sealed = seal(msgspec.json.encode(authority), request.receiver, request.token, bound)
            if not await self._tokens.consume(record.id):
                raise TokenRefused(f"token {record.id} was used a moment ago")
        except TokenRefused as error:  # told by the audit log, which strangers cannot flood
            reason = "the token is not valid for a controller; ask for a new one"
            raise EnrolRefused(reason, token_id) from error
        except SealError as error:
            raise EnrolRefused(str(error), token_id) from error
        log.info("controller enrolled", token=record.id, invited_by=record.by)
        return sealed, record


def _key(token_id: str) -> Key:
    return Key(GROUP, TOKENS, "", token_id)


class _Stored(msgspec.Struct):
    spec: TokenRecord


def _decoded(value: bytes) -> TokenRecord | None:
    try:
        return msgspec.json.decode(value, type=_Stored).spec
    except msgspec.MsgspecError:
        return None
