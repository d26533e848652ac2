"""Makes this machine a controller of a cluster: one token against the authority, in a directory that appears
whole.

The order is the point: that the directory can be written is known before the token is used; the server is
proven by the pinned digest before it sees the token; and what it sends must be the very authority of that
digest."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from tsujiban.controller.config import ControllerConfig
from tsujiban.controller.enrolment import (
    ENROL_PATH,
    Authority,
    EnrolRequest,
    Ticket,
    context,
    taken_over,
)
from tsujiban.identity import castore
from tsujiban.identity.files import (
    PrivateFileError,
    make_private_directory,
    read_private,
    sync_directory,
    write_private,
)
from tsujiban.identity.sealing import Sealed, SealError, public_bytes, unseal
from tsujiban.wire.join import bundle_digest
from tsujiban.wire.pinned import JoinError, pinned_bundle, post

CONFIG = "config.json"


def read_ticket(path: Path) -> Ticket:
    """Raises JoinError."""
    try:
        return msgspec.json.decode(read_private(path), type=Ticket)
    except (PrivateFileError, msgspec.MsgspecError) as error:
        raise JoinError(
            f"{path} is not a token file for a controller: {error}; make one: `tsujiban controller token`"
        ) from error


async def enrol(ticket: Ticket, state: Path, own: dict[str, Any], store: dict[str, Any]) -> ControllerConfig:
    """Fetch the authority into the new directory `state`, with a configuration (`CONFIG`) in which the fields
    of `own` go before the shared ones, those of `store` before what others know of it. Uses the token up.

    Raises:
        JoinError: it cannot be; nothing is left of the attempt.
        ControllerUnreachable: the server cannot be reached, or its answer was lost: the token may be used.
    """
    try:
        with _staging(state) as staging:
            bundle_pem = await pinned_bundle(ticket.server, ticket.ca_sha256)
            authority = await _fetch(ticket, bundle_pem)
            try:
                config = taken_over(authority.settings, str(state), own, store)
            except msgspec.ValidationError as error:
                raise JoinError(f"the settings of this controller cannot be: {error}") from error
            _write_authority(staging / "ca", authority, ticket, config.trust_domain)
            write_private(staging / CONFIG, msgspec.json.format(msgspec.json.encode(config)))
            staging.rename(state)  # atomic; an empty directory gives way
            sync_directory(state.parent)
            return config
    except (OSError, PrivateFileError) as error:
        raise JoinError(f"cannot write {state}: {error}") from error


async def _fetch(ticket: Ticket, bundle_pem: str) -> Authority:
    key = X25519PrivateKey.generate()
    request = EnrolRequest(token=ticket.controller_token, receiver=public_bytes(key))
    answer = await post(ticket.server, bundle_pem, ENROL_PATH, msgspec.json.encode(request))
    try:
        sealed = msgspec.json.decode(answer, type=Sealed)
        plain = unseal(sealed, key, ticket.controller_token, context(ticket.ca_sha256))
        return msgspec.json.decode(plain, type=Authority)
    except (msgspec.MsgspecError, SealError) as error:
        raise JoinError(f"{ticket.server} answered with what is not for this machine: {error}") from error


def _write_authority(directory: Path, authority: Authority, ticket: Ticket, trust_domain: str) -> None:
    """Raises JoinError unless it is the one that the ticket pins, whole and of this trust domain."""
    try:
        root = castore.issuer_from_pem(directory / castore.ROOT_FILE, authority.root_pem.encode())
        path = directory / castore.INTERMEDIATE_FILE
        intermediate = castore.issuer_from_pem(path, authority.intermediate_pem.encode())
        digest = bundle_digest(root.certificate.public_bytes(Encoding.PEM).decode())
        if digest != ticket.ca_sha256:
            raise JoinError(f"{ticket.server} sent another authority than its own: nothing of it is kept")
        castore.create(directory, root, intermediate)
        castore.load(directory, trust_domain, time.time())
    except castore.CaStoreError as error:
        raise JoinError(f"{ticket.server} sent an authority that cannot be used: {error}") from error


@contextmanager
def _staging(state: Path) -> Iterator[Path]:
    """A private directory beside `state`, removed in the end if it is still there; what a killed attempt has
    left is removed first. Raises JoinError when `state` is in use, or another attempt runs."""
    if state.is_symlink() or (state.exists() and (not state.is_dir() or any(state.iterdir()))):
        raise JoinError(f"{state} is not empty: a controller that is there already joins nothing")
    state.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    staging = state.with_name(f".{state.name}.joining")
    make_private_directory(staging)
    # the directory itself is the lock, for nobody else may open it
    lock = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JoinError(f"somebody else is making {state} now") from error
        if not os.path.samestat(os.fstat(lock), os.stat(staging)):
            raise JoinError(f"somebody else has just made {state}")
        for left in staging.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    finally:
        os.close(lock)
