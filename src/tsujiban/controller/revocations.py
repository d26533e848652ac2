"""Who is on the list of revoked certificates, for the controller itself: it takes no such certificate from a
node or a user, and signs for no such identity.

Every controller has its own copy of the list, also one that does not lead. Until it has read it once it takes
no certificate at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import structlog
from cryptography import x509

from tsujiban.controller.world import Ref
from tsujiban.identity.ca import CLOCK_SKEW
from tsujiban.identity.certificates import validity_of
from tsujiban.identity.verify import VerificationError, leaf_identity
from tsujiban.resources import revoked, spiffe
from tsujiban.store.protocol import Key

log = structlog.get_logger(__name__)

KEY = Key("", "configmaps", revoked.NAMESPACE, revoked.NAME)
KIND = (KEY.group, KEY.resource)
READ_SECONDS = 10.0
REF = Ref(*KIND, KEY.namespace, KEY.name)


class _Config(msgspec.Struct):
    data: dict[str, str] | None = None


class Revocations:
    """The list as it is. `on_change` are called after each change of it."""

    def __init__(self) -> None:
        self.listed: revoked.Listed | None = None  # None: not read yet
        self.on_change: list[Callable[[], None]] = []
        self.read = asyncio.Event()  # the list is known
        self._unreadable = ""

    def loaded(self) -> None:
        """The store has been read once: what was not in it is not."""
        if self.listed is None and not self._unreadable:
            self._set(revoked.Listed())

    def put(self, key: Key, value: bytes) -> None:
        """A ConfigMap is, or has become, this."""
        if key != KEY:
            return
        try:
            config = msgspec.json.decode(value, type=_Config)
        except msgspec.MsgspecError as error:  # nobody can have written it through the API
            counts = (
                "nobody is taken before it is one" if self.listed is None else "the list before it counts on"
            )
            self._unreadable = f"the list of revoked certificates is no ConfigMap ({error}): {counts}"
            log.error("the list of revoked certificates cannot be read", reason=str(error))
            return
        self._unreadable = ""
        self._set(revoked.read((config.data or {}).get(revoked.FIELD, "")))

    def drop(self, key: Key) -> None:
        """A ConfigMap is gone."""
        if key == KEY:
            self._unreadable = ""
            self._set(revoked.Listed())

    def _set(self, listed: revoked.Listed) -> None:
        before, self.listed = self.listed, listed
        self.read.set()
        if listed.faults and (before is None or before.faults != listed.faults):
            log.error("lines of the list of revoked certificates say nothing", faults=self.problem())
        if before != listed:
            for tell in self.on_change:
                tell()

    def problem(self) -> str:
        """What is wrong with the list; "" is well."""
        faults = self.listed.faults if self.listed is not None else ()
        what = self._unreadable or revoked.told(faults)
        return f"ConfigMap {revoked.NAMESPACE}/{revoked.NAME}: {what}" if what else ""

    async def node_revoked(self, node: str) -> float:
        """When a node was revoked, UNIX seconds; 0 if it was not. Waits for the list; raises TimeoutError."""
        async with asyncio.timeout(READ_SECONDS):
            await self.read.wait()
        return self.listed.nodes.get(node, 0.0) if self.listed is not None else 0.0

    def identity(self, spiffe_id: str) -> str:
        """Why nothing is signed for an identity; "" if something may be."""
        if self.listed is None:
            return self._unreadable or "the list of revoked certificates has not been read yet"
        if spiffe_id in self.listed.identities:
            return f"{spiffe_id} is revoked (to take it from the list: tsujiban revoke --undo {spiffe_id})"
        return ""

    def of_der(self, der: bytes) -> str:
        """`certificate`, of one as TLS gives it."""
        try:
            return self.certificate(x509.load_der_x509_certificate(der))
        except (ValueError, x509.InvalidVersion):
            return "it cannot be parsed"

    def certificate(self, leaf: x509.Certificate) -> str:
        """Why a certificate, which TLS has verified, is not taken; "" if it is."""
        if self.listed is None:
            return self._unreadable or "the list of revoked certificates has not been read yet"
        if f"{leaf.serial_number:x}" in self.listed.serials:
            return f"the certificate with serial number {leaf.serial_number:x} is revoked"
        try:
            proven = str(leaf_identity(leaf))
        except VerificationError:
            return ""  # a user's, which has no identity but its subject
        node = spiffe.node(proven) or ""
        issued = validity_of(leaf).not_before + CLOCK_SKEW  # it is dated back
        if issued < self.listed.nodes.get(node, 0.0):
            return f"all certificates that node {node} had were revoked: it must join again"
        return self.identity(proven)
