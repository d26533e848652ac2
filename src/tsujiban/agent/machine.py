"""What a node says of the machine that it is on: for people, who read it in `kubectl describe node`."""

from __future__ import annotations

import os
import platform

MOST = 200  # characters of one value


def about() -> dict[str, str]:
    """Fields of Kubernetes' NodeSystemInfo; what is not known is left out."""
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        system = ""
    found = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "kernelVersion": platform.release(),
        "operatingSystem": platform.system().lower(),
        "osImage": system,
    }
    return {field: value[:MOST] for field, value in found.items() if value}


def capacity() -> dict[str, str]:
    """What there is of it, as Kubernetes' quantities."""
    kibibytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024
    return {"cpu": str(os.cpu_count() or 1), "memory": f"{kibibytes}Ki"}


_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # as Go calls them
