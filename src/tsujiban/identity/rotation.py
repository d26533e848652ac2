"""Keeps every pod of a node in possession of a valid SVID.

A new key for every certificate; renewed at about half-life, so that the controller may be away
for half an hour before anyone notices. What comes back from the controller is verified before
it is used: a chain for another key or another identity is an error, not an identity.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric import ec

from tsujiban.identity.keys import create_spiffe_csr, key_to_pem, new_key
from tsujiban.identity.svid import Svid
from tsujiban.identity.verify import VerificationError, parse_chain, verify_chain
from tsujiban.resources.spiffe import parse

log = structlog.get_logger(__name__)

JITTER = 0.1  # of the lifetime, so that a fleet does not renew in one second
FIRST_RETRY = 0.2  # seconds
LAST_RETRY = 30.0
SIGN_TIMEOUT = 30.0
_LONGEST_SLEEP = 30.0  # the wall clock may jump; look at it again after this many seconds


class SignFailed(Exception):
    """The controller could not be reached or refused to sign; it is asked again later."""


class SvidStatus(msgspec.Struct, frozen=True, kw_only=True):
    """For `tsujiban status`: the identity of one pod."""

    pod: str
    spiffe_id: str
    expires: float  # UNIX seconds; 0 when there is no SVID yet
    error: str  # why the last attempt failed; "" when it did not


Sign = Callable[[str, str], Awaitable[str]]  # (pod, csr_pem) -> chain_pem; raises SignFailed
OnUpdate = Callable[[str, Svid], None]
Clock = Callable[[], float]


def next_renewal(obtained: float, not_after: float, spread: float) -> float:
    """When to renew, UNIX seconds: half-life minus up to JITTER of the life; `spread` is in [0, 1).

    `obtained` is when the certificate was, and not its not_before, which is dated back.
    """
    return obtained + (not_after - obtained) * (0.5 - JITTER * spread)


def retry_delay(failures: int, spread: float) -> float:
    """Seconds to wait after the `failures`-th failure in a row (from 1): doubling, capped, jittered."""
    delay = min(LAST_RETRY, FIRST_RETRY * 2.0 ** min(failures - 1, 16))
    return delay * (0.5 + 0.5 * spread)


def accept_chain(
    chain_pem: str, key: ec.EllipticCurvePrivateKey, spiffe_id: str, bundle_pem: str, now: float
) -> Svid:
    """Make an Svid of what the controller sent. Raises VerificationError when that was not asked for."""
    peer = verify_chain(chain_pem, bundle_pem, _trust_domain(spiffe_id), now)
    if str(peer.spiffe_id) != spiffe_id:
        raise VerificationError(f"certificate is for {peer.spiffe_id}, not {spiffe_id}")
    if peer.leaf.public_key() != key.public_key():
        raise VerificationError("certificate is for another key")
    return Svid(
        spiffe_id=spiffe_id,
        chain_pem=chain_pem,
        key_pem=key_to_pem(key),
        bundle_pem=bundle_pem,
        not_before=peer.not_before,
        not_after=peer.not_after,
    )


class _Entry:
    def __init__(self, spiffe_id: str) -> None:
        self.spiffe_id = spiffe_id
        self.svid: Svid | None = None
        self.error = ""
        self.task: asyncio.Task[None] | None = None
        self.defects = 0  # in a row
        self.obtained = asyncio.Event()


class SvidManager:
    """Holds and renews the SVIDs of a node's pods. Use inside a running event loop.

    `sign` asks the controller, `on_update` gets every new SVID (and again when the bundle changes).
    """

    def __init__(
        self,
        sign: Sign,
        on_update: OnUpdate,
        bundle_pem: str,
        *,
        clock: Clock = time.time,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._sign = sign
        self._on_update = on_update
        self._bundle_pem = bundle_pem
        self._clock = clock
        self._spread = spread
        self._entries: dict[str, _Entry] = {}

    def ensure(self, pod: str, spiffe_id: str) -> None:
        """Begin to keep an SVID for `pod`; another identity than before replaces it.

        Raises ValueError when `spiffe_id` is not a SPIFFE ID.
        """
        _trust_domain(spiffe_id)
        entry = self._entries.get(pod)
        if entry is not None and entry.spiffe_id == spiffe_id:
            return
        self.remove(pod)
        entry = self._entries[pod] = _Entry(spiffe_id)
        self._start(pod, entry)

    def remove(self, pod: str) -> None:
        """Forget the pod's key and stop renewing."""
        entry = self._entries.pop(pod, None)
        if entry is not None and entry.task is not None:
            entry.task.cancel()

    def get(self, pod: str) -> Svid | None:
        """The pod's SVID, if it has one that has not expired."""
        entry = self._entries.get(pod)
        if entry is None or entry.svid is None or entry.svid.not_after <= self._clock():
            return None
        return entry.svid

    async def until(self, pod: str) -> None:
        """Wait until `ensure` has obtained the pod's first SVID. Raises KeyError when it was not called."""
        await self._entries[pod].obtained.wait()

    def status(self) -> list[SvidStatus]:
        """One line per pod, by name."""
        return [
            SvidStatus(
                pod=pod,
                spiffe_id=entry.spiffe_id,
                expires=entry.svid.not_after if entry.svid else 0.0,
                error=entry.error,
            )
            for pod, entry in sorted(self._entries.items())
        ]

    def set_bundle(self, bundle_pem: str) -> None:
        """New roots: SVIDs that still verify are handed out with them, the others made anew."""
        if bundle_pem == self._bundle_pem:
            return
        self._bundle_pem = bundle_pem
        for pod, entry in list(self._entries.items()):
            if entry.svid is not None:
                self._rebase(pod, entry, entry.svid)

    def revoked(self, serials: Collection[str]) -> None:
        """Have the certificates with these serial numbers (hex) replaced now, and ask again for those that
        could not be had: the list on which they were may have changed."""
        for pod, entry in list(self._entries.items()):
            serial = entry.svid and f"{parse_chain(entry.svid.chain_pem)[0].serial_number:x}"
            if serial in serials or entry.error:
                self._start(pod, entry)

    async def close(self) -> None:
        """Stop all renewals and forget all keys."""
        tasks = [entry.task for entry in self._entries.values() if entry.task is not None]
        for pod in list(self._entries):
            self.remove(pod)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, pod: str, entry: _Entry) -> None:
        if entry.task is not None:
            entry.task.cancel()
        entry.task = asyncio.create_task(self._keep(pod, entry), name=f"svid {pod}")
        entry.task.add_done_callback(lambda task: self._crashed(pod, entry, task))

    def _crashed(self, pod: str, entry: _Entry, task: asyncio.Task[None]) -> None:
        """A defect, ours or of `on_update`: report it, and go on later, or the certificate would expire."""
        if task.cancelled():
            return
        error = task.exception()
        entry.error = f"renewal failed: {error!r}"
        entry.defects += 1
        log.error("renewal failed", pod=pod, exc_info=error)
        delay = retry_delay(entry.defects, self._spread())
        asyncio.get_running_loop().call_later(delay, self._resume, pod, entry)

    def _resume(self, pod: str, entry: _Entry) -> None:
        if self._entries.get(pod) is entry and entry.task is not None and entry.task.done():
            self._start(pod, entry)

    def _rebase(self, pod: str, entry: _Entry, svid: Svid) -> None:
        try:
            verify_chain(svid.chain_pem, self._bundle_pem, _trust_domain(svid.spiffe_id), self._clock())
        except VerificationError as error:
            entry.error = f"the trust bundle changed: {error}"
            self._start(pod, entry)
        else:
            entry.svid = msgspec.structs.replace(svid, bundle_pem=self._bundle_pem)
            self._on_update(pod, entry.svid)

    async def _keep(self, pod: str, entry: _Entry) -> None:
        failures = 0
        while True:
            try:
                svid = await self._obtain(pod, entry.spiffe_id)
            except (SignFailed, VerificationError, TimeoutError) as error:
                failures += 1
                entry.error = str(error) or "the controller did not answer in time"
                log.warning("no certificate", pod=pod, spiffe_id=entry.spiffe_id, error=entry.error)
                await asyncio.sleep(retry_delay(failures, self._spread()))
                continue
            failures = 0
            entry.svid, entry.error = svid, ""
            self._on_update(pod, svid)
            entry.defects = 0
            entry.obtained.set()
            await self._sleep_until(next_renewal(self._clock(), svid.not_after, self._spread()))

    async def _obtain(self, pod: str, spiffe_id: str) -> Svid:
        key = new_key()
        async with asyncio.timeout(SIGN_TIMEOUT):
            chain_pem = await self._sign(pod, create_spiffe_csr(key, spiffe_id))
        return accept_chain(chain_pem, key, spiffe_id, self._bundle_pem, self._clock())

    async def _sleep_until(self, due: float) -> None:
        # at least once per round, so that a certificate that is due at birth cannot spin
        left = FIRST_RETRY
        while left > 0:
            await asyncio.sleep(min(left, _LONGEST_SLEEP))
            left = due - self._clock()


def _trust_domain(spiffe_id: str) -> str:
    identity = parse(spiffe_id)
    if identity is None:
        raise ValueError(f"{spiffe_id!r} is not a SPIFFE ID")
    return identity.trust_domain
