"""Makes this machine a node: one token against one certificate.

The order is the point: the trust bundle is fetched first and compared with the digest of the
join file; only a server that a pinned root vouches for ever sees the token.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import msgspec
import structlog

from tsujiban.agent.credentials import CREDENTIALS_FILE, CredentialsError, NodeCredentials, Trust, load, save
from tsujiban.identity.files import PrivateFileError, read_private
from tsujiban.identity.keys import create_csr, new_key
from tsujiban.wire.join import JOIN_PATH, JoinFile, JoinRequest, JoinResponse
from tsujiban.wire.pinned import ControllerUnreachable, JoinError, pinned_bundle, post

log = structlog.get_logger(__name__)

FIRST_RETRY = 0.1  # seconds
LAST_RETRY = 2.0


async def ensure_joined(join_file: Path, directory: Path, node: str) -> NodeCredentials:
    """The node's credentials: those in `directory`, or new ones by joining, which uses `join_file` up.

    Waits for a controller that is not there yet. Raises JoinError.
    """
    try:
        return load(directory, node)
    except CredentialsError as error:
        log.info("joining", node=node, because=str(error))
    ticket = read_join_file(join_file)
    if ticket.node != node:
        raise JoinError(f"{join_file} is for node {ticket.node!r}, this is {node!r}")
    delay = FIRST_RETRY
    while True:
        try:
            credentials = await join(ticket, directory)
        except ControllerUnreachable as error:
            log.warning("controller unreachable", server=ticket.server, reason=str(error))
            await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311  # jitter, not a secret
            delay = min(delay * 2, LAST_RETRY)
        else:
            _use_up(join_file)
            return credentials


class Rejoining:
    """Joins anew by a join file that somebody has put there for a node whose certificate is not taken (it
    was revoked, or has expired meanwhile). Each file is tried once."""

    def __init__(self, join_file: Path, directory: Path, node: str) -> None:
        self._join_file = join_file
        self._directory = directory
        self._node = node
        self._tried = 0  # when the file was written that was tried last

    async def __call__(self) -> None:
        """Join, if there is a file that is newer than the certificate. Failures are logged."""
        written = _written(self._join_file)
        if written <= max(self._tried, _written(self._directory / CREDENTIALS_FILE)):
            return
        try:
            ticket = read_join_file(self._join_file)
            if ticket.node != self._node:
                raise JoinError(f"{self._join_file} is for node {ticket.node!r}, this is {self._node!r}")
            await join(ticket, self._directory)
        except ControllerUnreachable as error:
            log.warning("controller unreachable", server=ticket.server, reason=str(error))
        except JoinError as error:
            self._tried = written
            log.error("not joined again", reason=str(error))
        else:
            _use_up(self._join_file)
            log.info("joined again", node=self._node)


def _written(path: Path) -> int:
    """When a file was written, in ns; 0 when there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def read_join_file(path: Path) -> JoinFile:
    """Raises JoinError."""
    try:
        return msgspec.json.decode(read_private(path), type=JoinFile)
    except (PrivateFileError, msgspec.MsgspecError) as error:
        raise JoinError(f"join file {path} is not usable: {error}; make a new one") from error


def _use_up(join_file: Path) -> None:
    """The token in it is spent."""
    join_file.unlink(missing_ok=True)


async def join(ticket: JoinFile, directory: Path) -> NodeCredentials:
    """Join once and store the credentials in `directory`. Raises JoinError, ControllerUnreachable."""
    bundle_pem = await pinned_bundle(ticket.server, ticket.ca_sha256)
    key = new_key()
    request = JoinRequest(token=ticket.token, csr_pem=create_csr(key, []), node=ticket.node)
    body = await post(ticket.server, bundle_pem, JOIN_PATH, msgspec.json.encode(request))
    try:
        answer = msgspec.json.decode(body, type=JoinResponse)
        trust = Trust(trust_domain=answer.trust_domain, bundle_pem=bundle_pem)
        return save(directory, ticket.node, key, answer.chain_pem, trust)
    except (msgspec.MsgspecError, RecursionError, CredentialsError) as error:
        raise JoinError(f"{ticket.server} answered with an unusable certificate: {error}") from error
