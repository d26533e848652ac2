"""`tsujiban backup` and `restore`: a local cluster's store, and if wanted its keys, in one file.

The file is a tar archive: `backup.json` (what it is), `store.db` (a SQLite file), and with keys `ca/…` and
`token-keys/…`. A restore reads only these names, as plain files, into directories that it makes itself.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tsujiban import __version__
from tsujiban.identity.files import make_private_directory, read_private, sync_directory, write_private
from tsujiban.local import leftovers
from tsujiban.local.layout import Layout
from tsujiban.local.remembered import RememberedError, in_etcd, named
from tsujiban.store import backup as stores
from tsujiban.store.protocol import StoreError

FORMAT = 1
ABOUT = "backup.json"
STORE = "store.db"
KEY_DIRECTORIES = ("ca", "token-keys")
MAX_KEY_BYTES = 64 * 1024
_KEY_FILE = re.compile(r"(ca|token-keys)/[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CHUNK = 1 << 20

Progress = Callable[[str], None]


class BackupError(Exception):
    """It cannot be done; the text says why. What there was is as it was."""


class About(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backup says of itself."""

    format: int
    cluster: str
    made: float  # UNIX seconds
    version: str  # of the program that made it
    store_sha256: str
    revision: int
    objects: int
    keys: bool


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore did."""

    about: About
    aside: Path | None  # the store that was there before
    keys: bool  # whether the keys of the backup were put in place


def back_up(cluster: str, target: Path, progress: Progress, *, keys: bool = False) -> About:
    """Write a backup of a cluster's embedded store to `target`, mode 0600, whether the cluster runs or not.
    An existing file is replaced only when the new one is whole and was read back.

    Raises:
        BackupError, ValueError (a bad name).
    """
    _refuse_etcd(cluster, "`etcdctl snapshot save` saves them")
    state = Layout(cluster).controller_state
    if not (state / STORE).exists():
        raise BackupError(f"cluster {cluster!r} has no store on this machine (looked for {state / STORE})")
    if not target.absolute().parent.is_dir():
        raise BackupError(f"no backup was made: there is no directory {target.absolute().parent}")
    try:
        with _beside(target) as directory:
            progress("copying the store")
            copied = directory / STORE
            contents = stores.copy(state / STORE, copied)
            about = About(
                format=FORMAT,
                cluster=cluster,
                made=time.time(),
                version=__version__,
                store_sha256=_digest(copied),
                revision=contents.revision,
                objects=contents.objects,
                keys=keys,
            )
            archive = directory / "backup.tar"
            _write(archive, about, copied, _keys_of(state) if keys else {})
            progress("reading it back")
            _unpack(archive, directory / "check")
            archive.replace(target)
            sync_directory(target.absolute().parent)
            return about
    except (OSError, ValueError, StoreError) as error:
        raise BackupError(f"no backup was made: {error}") from error


def _refuse_etcd(cluster: str, remedy: str) -> None:
    try:
        found = in_etcd(Layout(cluster))
    except RememberedError as error:
        raise BackupError(str(error)) from error
    if found is not None:
        raise BackupError(f"the objects of cluster {cluster!r} are in {named(found)}: {remedy}")


def restore(cluster: str, source: Path, progress: Progress) -> Restored:
    """Make a cluster's store from a backup; the cluster must be down. Keys in the backup are put in place
    only where there are none: a cluster's own keys are never replaced.

    Raises:
        BackupError, ValueError (a bad name).
    """
    layout = Layout(cluster)
    _refuse_etcd(cluster, "`etcdctl snapshot restore` puts them back")
    if leftovers.is_live(cluster):
        raise BackupError(f"cluster {cluster!r} runs: `tsujiban down --keep-state --cluster {cluster}` first")
    try:
        layout.state.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        make_private_directory(layout.state)
        make_private_directory(layout.controller_state)
        with _beside(layout.controller_state / "restore") as directory:
            progress(f"reading {source}")
            about = _unpack(source, directory)
            aside = stores.adopt(directory / STORE, layout.controller_state / STORE, progress)
            placed = _place_keys(directory, layout.controller_state, progress) if about.keys else False
            return Restored(about=about, aside=aside, keys=placed)
    except (OSError, ValueError, StoreError) as error:
        raise BackupError(f"nothing was restored: {error}") from error


# ---------------------------------------------------------------- the archive


def _write(archive: Path, about: About, store: Path, keys: dict[str, bytes]) -> None:
    descriptor = os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            _add(tar, ABOUT, msgspec.json.encode(about))
            with store.open("rb") as data:
                tar.addfile(_member(STORE, store.stat().st_size), data)
            for name, content in sorted(keys.items()):
                _add(tar, name, content)
        file.flush()
        os.fsync(file.fileno())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    tar.addfile(_member(name, len(content)), io.BytesIO(content))


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, int(time.time())
    return member


def _unpack(archive: Path, directory: Path) -> About:
    """Read an archive into a directory of ours, and check it. Raises BackupError, OSError."""
    make_private_directory(directory)
    about: About | None = None
    try:
        with tarfile.open(archive, mode="r:") as tar:
            for member in tar:
                if not member.isreg():
                    raise BackupError(f"{archive} is no backup: {member.name!r} is not a plain file")
                data = tar.extractfile(member)
                if data is None:
                    raise BackupError(f"{archive} is no backup: {member.name!r} cannot be read")
                if member.name == ABOUT and member.size <= MAX_KEY_BYTES:
                    about = msgspec.json.decode(data.read(), type=About)
                    if about.format != FORMAT:
                        raise BackupError(f"{archive} has format {about.format}: use a newer tsujiban")
                elif member.name == STORE:
                    _spool(data, directory / STORE)
                elif _KEY_FILE.fullmatch(member.name) and member.size <= MAX_KEY_BYTES:
                    make_private_directory(directory / Path(member.name).parent)
                    write_private(directory / member.name, data.read())
                else:
                    raise BackupError(f"{archive} is no backup: it holds {member.name!r}")
    except (tarfile.TarError, msgspec.MsgspecError, EOFError) as error:
        raise BackupError(f"{archive} is no backup: {error}") from error
    if about is None or not (directory / STORE).exists():
        raise BackupError(f"{archive} is no backup: it lacks {ABOUT if about is None else STORE}")
    if _digest(directory / STORE) != about.store_sha256:
        raise BackupError(f"{archive} is damaged: the store in it is not the one that was saved")
    return about


def _spool(data: object, target: Path) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while chunk := data.read(_CHUNK):  # type: ignore[attr-defined]  # a file of tarfile's
            file.write(chunk)


# ---------------------------------------------------------------- keys


def _keys_of(state: Path) -> dict[str, bytes]:
    found = {}
    for directory in KEY_DIRECTORIES:
        if (state / directory).is_dir():
            for path in sorted((state / directory).iterdir()):
                if _KEY_FILE.fullmatch(f"{directory}/{path.name}"):
                    found[f"{directory}/{path.name}"] = read_private(path, MAX_KEY_BYTES)
    return found


def _place_keys(directory: Path, state: Path, progress: Progress) -> bool:
    """Whether any were placed."""
    placed = False
    for name in KEY_DIRECTORIES:
        if not (directory / name).is_dir():
            continue
        if (state / name).exists():
            progress(f"{state / name} is there already: the backup's was not used")
            continue
        (directory / name).replace(state / name)
        placed = True
    return placed


# ---------------------------------------------------------------- files


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A private directory on the file system of `target`, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.absolute().parent) as name:
        yield Path(name)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
