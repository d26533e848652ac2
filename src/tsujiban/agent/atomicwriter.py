"""The files of a volume, changed all at once, as the kubelet does it.

The files are in a directory whose name begins with `..` and a time; the link `..data` leads to it, and a link
for each file (or its first directory) leads through `..data`. A change is a new directory, and one rename of
`..data`: who opens files through one look at `..data` sees all of before or all of after, never half. A file
that was mounted by itself (`subPath`) stays what it was. Source: the layout that pods see in Kubernetes.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import time
from collections.abc import Mapping
from pathlib import Path

Files = Mapping[str, tuple[bytes, int]]  # content and mode, by relative path without `..`

DATA = "..data"


def write(directory: Path, files: Files, owner: int) -> bool:
    """Make `directory` hold `files`, of user and group `owner`; whether anything had to be done. Raises
    OSError."""
    directory.mkdir(mode=0o755, exist_ok=True)
    before = present(directory)
    if before is not None and _same(before, files):
        return False
    made = directory / f"..{time.strftime('%Y_%m_%d_%H_%M_%S', time.gmtime())}.{secrets.token_hex(5)}"
    made.mkdir(mode=0o755)
    try:
        for name, (content, mode) in files.items():
            _create(made, name, content, mode, owner)
        _point(directory / DATA, made.name)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    _show(directory, {name.partition("/")[0] for name in files})
    for entry in os.scandir(directory):
        if entry.name.startswith("..") and entry.name not in (DATA, made.name):
            shutil.rmtree(entry.path)
    return True


def present(directory: Path) -> Path | None:
    """Where the files are now; None when there are none yet."""
    found = directory / DATA
    return found.resolve() if found.exists() else None


def _create(made: Path, name: str, content: bytes, mode: int, owner: int) -> None:
    target = made / name
    parent = made
    for part in Path(name).parts[:-1]:
        parent /= part
        if not parent.exists():
            parent.mkdir(mode=0o755)
            parent.chmod(0o755)  # whatever the umask
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchown(file.fileno(), owner, owner)
        os.fchmod(file.fileno(), mode)


def _point(link: Path, target: str) -> None:
    """Make a link lead somewhere, in one step; also in the place of what an older version put there."""
    beside = link.with_name(f"..link.{secrets.token_hex(5)}")
    beside.symlink_to(target)
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)
    beside.replace(link)


def _show(directory: Path, names: set[str]) -> None:
    for name in sorted(names):
        link, target = directory / name, f"{DATA}/{name}"
        if not (link.is_symlink() and os.readlink(link) == target):
            _point(link, target)
    for entry in os.scandir(directory):
        if not entry.name.startswith("..") and entry.name not in names:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def _same(where: Path, files: Files) -> bool:
    found = {str(path.relative_to(where)): path for path in where.rglob("*") if not path.is_dir()}
    return found.keys() == files.keys() and all(
        path.read_bytes() == files[name][0] and stat.S_IMODE(path.stat().st_mode) == files[name][1]
        for name, path in found.items()
    )
