"""What a container is given when it starts, its command and its variables: in files of root's own.

They hold what comes from Secrets, so they are no part of the supervisor's specification: one file for each
container, 0600, in a directory of the sandbox that is 0700, in the node's run directory, which is in memory.
The supervisor starts a container again while no agent is there, and `sandbox_init` reads the file each time:
so a restart takes what is new, and what runs is left alone. Without the file a container is not started
again (`ProcessSpec.needs`).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from tsujiban.identity.files import write_private

DIRECTORY = "env"


def path_of(sandbox: Path, container: str) -> Path:
    """The file of a container of a pod whose directory is `sandbox`."""
    return sandbox / DIRECTORY / container


def write(path: Path, argv: tuple[str, ...], variables: dict[str, str]) -> None:
    """Put it in place as a whole; an older one is never written over, for a container may go by it.
    Raises OSError."""
    content = json.dumps({"argv": argv, "env": variables}).encode()
    if path.exists() and path.read_bytes() == content:
        return
    write_private(path, content)


def note(path: Path, text: str) -> None:
    """Say something beside a container's file. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def says(path: Path, text: str) -> bool:
    """Whether that was noted. Raises OSError."""
    return path.exists() and path.read_text() == text


def remove(path: Path) -> None:
    """The container cannot be made now. Raises OSError."""
    path.unlink(missing_ok=True)
