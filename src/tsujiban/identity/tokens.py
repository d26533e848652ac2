"""One-time tokens with which a machine becomes a node, or another controller.

A token is `<id>.<secret>`: the id finds the record, the secret (256 random bits) proves it. Only
the secret's SHA-256 is stored; a plain hash is enough for a random secret of that length. A token
is bound to one purpose and one node name, expires, and is consumed by whoever removes its record first.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from pathlib import Path
from typing import Protocol

import msgspec

from tsujiban.identity.files import PrivateFileError, make_private_directory, read_private, write_private

DEFAULT_LIFETIME = 3600.0  # seconds
FOR_NODE, FOR_CONTROLLER = "node", "controller"
_TOKEN = re.compile(r"([0-9a-f]{16})\.([0-9a-f]{64})\Z", re.ASCII)


class TokenRefused(Exception):
    """The token gives nothing. `str()` is for our own log; the sender learns only that it failed."""


class TokenRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a token."""

    id: str
    secret_sha256: str  # hexadecimal
    node: str  # "" when it is for no node
    expires: float  # UNIX seconds
    made: float = 0.0
    purpose: str = FOR_NODE
    by: str = ""  # the user who had it made, when it was one


class TokenStore(Protocol):
    """Where records live. `consume` must be atomic: of several callers one gets True."""

    async def add(self, record: TokenRecord) -> None:
        """Keep a new record, durably."""

    async def get(self, token_id: str) -> TokenRecord | None:
        """The record, if it was not consumed."""

    async def consume(self, token_id: str) -> bool:
        """Remove the record; True for the one caller who removed it."""


def new_token(
    node: str, now: float, lifetime: float = DEFAULT_LIFETIME, *, purpose: str = FOR_NODE, by: str = ""
) -> tuple[str, TokenRecord]:
    """A token for `node` and the record to keep of it. The token itself is shown once."""
    token_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    record = TokenRecord(
        id=token_id,
        secret_sha256=_digest(secret),
        node=node,
        expires=now + lifetime,
        made=now,
        purpose=purpose,
        by=by,
    )
    return f"{token_id}.{secret}", record


async def check_token(
    store: TokenStore, token: str, node: str, now: float, *, purpose: str = FOR_NODE
) -> TokenRecord:
    """The record of a token that is good for `node` at `now`; does not consume it. Raises TokenRefused."""
    match = _TOKEN.match(token)
    if match is None:
        raise TokenRefused("token is not of the form ID.SECRET")
    token_id, secret = match.groups()
    record = await store.get(token_id)
    if record is None:
        raise TokenRefused(f"token {token_id} does not exist, or was used already")
    if not hmac.compare_digest(record.secret_sha256, _digest(secret)):
        raise TokenRefused(f"token {token_id} came with a wrong secret")
    if record.purpose != purpose:
        raise TokenRefused(f"token {token_id} is for a {record.purpose}, not for a {purpose}")
    if record.node != node:
        raise TokenRefused(f"token {token_id} is for node {record.node!r}, not {node!r}")
    if now >= record.expires:
        raise TokenRefused(f"token {token_id} has expired")
    return record


class FileTokenStore:
    """Records as files of a private directory; removing the file is the atomic step.

    The supervisor of a local cluster can so make tokens before the controller runs.
    """

    def __init__(self, directory: Path) -> None:
        make_private_directory(directory)
        self._directory = directory

    async def add(self, record: TokenRecord) -> None:
        """Write the record."""
        write_private(self._path(record.id), msgspec.json.encode(record))

    async def get(self, token_id: str) -> TokenRecord | None:
        """Read the record; an unreadable one counts as absent."""
        try:
            return msgspec.json.decode(read_private(self._path(token_id)), type=TokenRecord)
        except (PrivateFileError, msgspec.MsgspecError):
            return None

    async def consume(self, token_id: str) -> bool:
        """Remove the file; the kernel lets one caller succeed."""
        try:
            self._path(token_id).unlink()
        except FileNotFoundError:
            return False
        return True

    def _path(self, token_id: str) -> Path:
        return self._directory / f"{token_id}.json"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
