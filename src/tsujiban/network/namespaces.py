"""Named network namespaces, kept where `ip netns` keeps them, so that a person can look inside.

`ip` makes and removes them: it knows how /run/netns must be mounted so that a namespace made
here is seen, and can be removed, everywhere.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tsujiban.supervise.netns import NETNS_DIR


class NamespaceError(RuntimeError):
    """`ip netns` refused; the text is its own."""


def exists(name: str) -> bool:
    """True when there is a network namespace of that name, and not the file only that `ip` leaves when it is
    killed before it has bound a namespace to it."""
    return os.path.ismount(NETNS_DIR / name)


def names(prefix: str) -> list[str]:
    """Names of the namespaces that start with `prefix`, sorted; also of those that are half made."""
    if not NETNS_DIR.is_dir():
        return []
    return sorted(path.name for path in NETNS_DIR.iterdir() if path.name.startswith(prefix))


def create(name: str) -> bool:
    """Make a namespace, also where one was left half made; False when it was there already. Raises
    NamespaceError."""
    if exists(name):
        return False
    delete(name)
    _ip("netns", "add", name)
    return True


def delete(name: str) -> None:
    """Remove a namespace and all its links; nothing happens without one. Raises NamespaceError.

    Processes inside keep it alive without a name, so they must be gone before.
    """
    if (NETNS_DIR / name).exists():
        _ip("netns", "delete", name)


def write_sysctl(path: str, value: str) -> None:
    """Set `net.*` sysctl "ipv4/ip_forward" of the calling thread's namespace. Raises OSError."""
    Path("/proc/sys/net", path).write_text(value)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NamespaceError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
