"""A controller's node server as a process of its own, so that a test can kill it.

    python -m tests.support.nodeserver DIRECTORY PORT

Loads the authority of DIRECTORY/ca, prints "ready", answers every Hello with a full state.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.support.nodestream import Controller
from tests.support.pki import TRUST_DOMAIN, Pki

from tsujiban.identity.ca import CertificateAuthority


class LoadedPki(Pki):
    """The authority that another process made."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.trust_domain = TRUST_DOMAIN
        self.ca = CertificateAuthority.load(directory / "ca", TRUST_DOMAIN)


async def main() -> None:
    """Serve until killed."""
    controller = Controller(LoadedPki(Path(sys.argv[1])))
    controller.port = int(sys.argv[2])
    await controller.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
