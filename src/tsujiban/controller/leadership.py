"""Which of several controllers leads: it alone runs the control loop and serves the nodes.

A Lease, as Kubernetes' own components use it, says who leads and since when. A lease alone cannot keep out
a controller that was paused and does not know that its time is over. So every new leader writes a second
object, its term, in the transaction in which it takes the lease; and whatever a leader writes is written
only if the term is still its own (`FencedStore`). Renewals do not touch the term.

Clocks of different machines are not compared: a lease is old when it has not changed for its duration by
the observer's own clock, which goes on while a process, or the machine, sleeps.
Source: client-go, tools/leaderelection (the Lease's fields and their meaning).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from tsujiban.store.protocol import (
    AlreadyExists,
    Check,
    Conflict,
    Create,
    Key,
    NotFound,
    Operation,
    Store,
    Stored,
    StoreError,
    StoreUnavailable,
    Update,
)
from tsujiban.store.wrapper import StoreWrapper

log = structlog.get_logger(__name__)

Json = dict[str, Any]
LEASE = Key("coordination.k8s.io", "leases", "kube-system", "tsujiban-controller")
TERM = Key("coordination.k8s.io", "leases", "kube-system", "tsujiban-controller-term")
RELEASE_SECONDS = 2.0


class LeadershipLost(StoreError):
    """This controller does not lead, or not any more: nothing was written."""


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds. A leader that could not renew gives up well before another may take over."""

    duration: float = 10.0
    give_up: float = 7.0
    renew: float = 2.0


def boot_clock() -> float:
    """Seconds since some time, those in which the machine slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Elector:
    """One controller's part in the election. `identity` is its own, and new with every start."""

    def __init__(
        self,
        store: Store,
        identity: str,
        timing: Timing | None = None,
        clock: Callable[[], float] = boot_clock,
    ) -> None:
        self.holder = ""  # who leads, as last seen
        self._store = store
        self._identity = identity
        self._timing = timing or Timing()
        self._clock = clock
        self._seen = (-1, 0.0)  # revision of another's lease, and since when it is that
        self._until = 0.0
        self._lease: Stored | None = None  # ours
        self._asked = False  # for the lease: it may be ours, also when no answer came
        self._term = 0

    @property
    def leads(self) -> bool:
        """Whether this controller leads, for all it can know."""
        return self._term != 0 and self._clock() < self._until

    @property
    def term(self) -> Check:
        """What every write of the leader depends on. Raises LeadershipLost."""
        if not self.leads:
            raise LeadershipLost(f"{self._identity} does not lead the cluster")
        return Check(TERM, self._term)

    async def acquire(self) -> None:
        """Wait until this controller leads. A store that does not answer is waited for."""
        while True:
            try:
                if await self._try():
                    log.info("leads the cluster", identity=self._identity, term=self._term)
                    return
            except StoreUnavailable as error:
                log.warning("cannot see who leads", reason=str(error))
            await asyncio.sleep(self._timing.renew)

    async def hold(self) -> None:
        """Renew the lease until that fails.

        Raises:
            LeadershipLost: another leads, or the store did not answer in time.
        """
        while True:
            await asyncio.sleep(self._timing.renew)
            try:
                async with asyncio.timeout(max(0.0, self._until - self._clock())):
                    await self._renew()
            except TimeoutError:
                raise LeadershipLost("the lease could not be renewed in time") from None
            except StoreUnavailable as error:
                log.warning("the lease is not renewed", reason=str(error))
            if not self.leads:
                raise LeadershipLost("the lease could not be renewed in time")

    async def release(self) -> None:
        """Let another lead at once, if this one does and the store answers."""
        if not self._asked:
            return
        lease, self._lease, self._term, self._asked = self._lease, None, 0, False
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                lease = lease or await self._find(LEASE)
                while lease is not None and _spec(lease).get("holderIdentity") == self._identity:
                    spec = {**_spec(lease), "holderIdentity": "", "renewTime": _now()}
                    try:
                        await self._store.update(LEASE, _object(LEASE, spec), lease.revision)
                        return
                    except Conflict:  # with a renewal of our own that was cancelled on its way
                        lease = await self._find(LEASE)

    # ------------------------------------------------------------ within

    async def _try(self) -> bool:
        present, term = await self._find(LEASE), await self._find(TERM)
        spec = _spec(present)
        self.holder = str(spec.get("holderIdentity") or "")
        if present is not None and self.holder and not self._is_old(present, spec):
            return False
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._timing.duration)),
            "acquireTime": _now(),
            "renewTime": _now(),
            "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (1 if present else 0),
        }
        began = self._clock()
        self._asked = True
        try:
            lease, own = await self._store.transaction([_put(LEASE, spec, present), _put(TERM, spec, term)])
        except (AlreadyExists, Conflict, NotFound):
            self._asked = False
            return False  # another was faster
        if lease is None or own is None:
            raise TypeError("a write gives what it wrote")
        self._lease, self._term, self._until = lease, own.revision, began + self._timing.give_up
        self.holder = self._identity
        return True

    def _is_old(self, lease: Stored, spec: Json) -> bool:
        revision, since = self._seen
        if lease.revision != revision:
            self._seen = lease.revision, self._clock()
            return False
        duration = float(spec.get("leaseDurationSeconds") or self._timing.duration)
        return self._clock() >= since + duration

    async def _renew(self) -> None:
        lease = self._lease
        if lease is None:
            raise LeadershipLost("the lease was given back")
        began = self._clock()
        value = _object(LEASE, {**_spec(lease), "renewTime": _now()})
        try:
            self._lease = await self._store.update(LEASE, value, lease.revision)
        except (Conflict, NotFound):
            found = await self._find(LEASE)
            if found is None or _spec(found).get("holderIdentity") != self._identity:
                raise LeadershipLost("another controller has taken the lease") from None
            self._lease = found  # a renewal of ours whose answer was lost, or somebody's label: once more
            return
        self._until = began + self._timing.give_up

    async def _find(self, key: Key) -> Stored | None:
        try:
            return await self._store.get(key)
        except NotFound:
            return None


class FencedStore(StoreWrapper):
    """The store as a leader may write it: nothing is written once another has begun to lead."""

    def __init__(self, store: Store, elector: Elector) -> None:
        super().__init__(store)
        self._elector = elector

    async def transaction(self, operations: Sequence[Operation]) -> tuple[Stored | None, ...]:
        """See `Store.transaction`. Raises LeadershipLost, too."""
        term = self._elector.term
        try:
            return (await self._store.transaction([term, *operations]))[1:]
        except (Conflict, NotFound) as error:
            if error.key == TERM:
                raise LeadershipLost("another controller leads the cluster: nothing was written") from error
            raise


def _put(key: Key, spec: Json, present: Stored | None) -> Operation:
    value = _object(key, spec)
    return Create(key, value) if present is None else Update(key, value, present.revision)


def _object(key: Key, spec: Json) -> bytes:
    head = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
    return msgspec.json.encode(
        {**head, "metadata": {"name": key.name, "namespace": key.namespace}, "spec": spec}
    )


def _spec(lease: Stored | None) -> Json:
    found = {} if lease is None else msgspec.json.decode(lease.value).get("spec")
    return found if isinstance(found, dict) else {}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
