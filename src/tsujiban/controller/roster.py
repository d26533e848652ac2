"""The controllers that share a store, known to each other and so to nodes.

Each publishes where it serves node streams, under a kind that no API serves, and renews that; what has not
been renewed for a while is taken away by whoever sees it. Clocks of different machines are not compared: an
entry is old when it has not changed for so long by the observer's own clock, as with the leader's lease.

An entry gives no rights: nodes believe whoever proves to be that controller, and nobody else. Who can write
one can write anything in the store.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import structlog

from tsujiban.controller.leadership import boot_clock
from tsujiban.resources import nets
from tsujiban.resources.names import INTERNAL_GROUP
from tsujiban.store.protocol import (
    AlreadyExists,
    Conflict,
    Key,
    NotFound,
    Store,
    Stored,
    StoreError,
)
from tsujiban.wire.controllers import problem, usable
from tsujiban.wire.messages import ControllerAddress

log = structlog.get_logger(__name__)

GROUP, RESOURCE = INTERNAL_GROUP, "controllers"
LOOK_SECONDS = 2.0
RENEW_SECONDS = 10.0
GONE_SECONDS = 60.0  # without a renewal
MAX_READ = 256  # entries that are looked at

Tell = Callable[[tuple[ControllerAddress, ...]], None]


class _Spec(msgspec.Struct):
    streams: tuple[tuple[str, int], ...]  # address and port


class _Stored(msgspec.Struct):
    spec: _Spec


class Roster:
    """This controller's entry, and those of the others. Run `run` as a task."""

    def __init__(
        self,
        store: Store,
        identity: str,
        own: Sequence[ControllerAddress],
        tell: Tell,
        *,
        elsewhere: Iterable[str] = (),
        clock: Callable[[], float] = boot_clock,
    ) -> None:
        """`own` are this controller's addresses (`addresses_of`); `tell` is called with all that are known
        when they change; `elsewhere` are networks in which no controller is (those of pods and services)."""
        self._store = store
        self._identity = identity
        self._own = tuple(own)
        self._tell = tell
        self._elsewhere = [nets.network(text) for text in elsewhere]
        self._clock = clock
        self._renewed = float("-inf")
        self._count = 0
        self._seen: dict[str, tuple[int, float]] = {}  # revision of each entry, and since when it is that
        self._known: tuple[ControllerAddress, ...] | None = None

    async def run(self) -> None:
        """Until cancelled. A store that does not answer is waited for; what is known stays known."""
        while True:
            try:
                await self.look()
            except StoreError as error:
                log.warning("controllers do not hear of each other", reason=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Read all, renew the own entry when it is due, take old ones away, tell what is news. Raises
        StoreError."""
        entries = {item.key.name: item for item in (await self._store.list(GROUP, RESOURCE)).items[:MAX_READ]}
        now = self._clock()
        if self._own and (now >= self._renewed + RENEW_SECONDS or self._identity not in entries):
            await self._renew(entries.get(self._identity))
            self._renewed = now
        entries.pop(self._identity, None)
        for name in self._seen.keys() - entries.keys():
            del self._seen[name]
        for name, item in list(entries.items()):
            if self._is_old(item, now):
                del entries[name]
                await self._remove(item)
        told = [one for name in sorted(entries) for one in self._addresses(entries[name])]
        known = usable([*self._own, *told])
        if known != self._known:
            if len(known) < len(set(told) | set(self._own)):
                log.error(
                    "more addresses of controllers are published than nodes are told of", told=len(known)
                )
            self._known = known
            self._tell(known)

    def _is_old(self, item: Stored, now: float) -> bool:
        revision, since = self._seen.get(item.key.name, (-1, 0.0))
        if item.revision != revision:
            self._seen[item.key.name] = item.revision, now
            return False
        return now >= since + GONE_SECONDS

    def _addresses(self, item: Stored) -> list[ControllerAddress]:
        try:
            streams = msgspec.json.decode(item.value, type=_Stored).spec.streams
        except msgspec.MsgspecError as error:
            log.error("what is published is no controller", name=item.key.name, reason=str(error))
            return []
        found = []
        for address, port in streams:
            one = ControllerAddress(item.key.name, address, port)
            wrong = problem(one) or self._misplaced(address)
            if wrong:
                log.error("a controller publishes what is no address", name=item.key.name, reason=wrong)
            else:
                found.append(one)
        return found

    def _misplaced(self, address: str) -> str:
        inside = nets.network(address)
        if any(nets.contains(network, inside) for network in self._elsewhere):
            return f"{address} is of the network of pods or of services, where no controller is"
        return ""

    async def _renew(self, present: Stored | None) -> None:
        self._count += 1
        streams = [[one.address, one.port] for one in self._own]
        document: dict[str, Any] = {
            "apiVersion": f"{GROUP}/v1",
            "kind": "Controller",
            "metadata": {"name": self._identity},
            "spec": {"streams": streams, "renewals": self._count},
        }
        key, value = Key(GROUP, RESOURCE, "", self._identity), msgspec.json.encode(document)
        try:
            if present is None:
                await self._store.create(key, value)
            else:
                await self._store.update(key, value, present.revision)
        except (
            AlreadyExists,
            Conflict,
            NotFound,
        ) as error:  # somebody has just taken it away: at the next look
            log.info("the own entry was changed by somebody else", reason=str(error))

    async def _remove(self, item: Stored) -> None:
        try:
            await self._store.delete(item.key, item.revision)
        except (Conflict, NotFound):  # it is back, or was taken away already
            return
        log.info("a controller is gone", controller=item.key.name)


def addresses_of(
    identity: str, configured: Sequence[str], listener: socket.socket
) -> tuple[ControllerAddress, ...]:
    """Where nodes reach this controller: as `configured` (HOST:PORT), else where it listens, if that says
    anything. Raises ValueError for what is configured and cannot be."""
    if configured:
        return named(identity, configured)
    address, port = listener.getsockname()[:2]
    found = usable([ControllerAddress(identity, address, port)])
    if not found:
        log.warning(
            "nodes are not told of this controller: name its address in node_endpoints",
            listens=f"{address}:{port}",
        )
    return found


def named(identity: str, configured: Sequence[str]) -> tuple[ControllerAddress, ...]:
    """What is written as HOST:PORT. Raises ValueError for what cannot be."""
    found = tuple(ControllerAddress(identity, *_split(text)) for text in configured)
    for text, one in zip(configured, found, strict=True):
        if wrong := problem(one):
            raise ValueError(f"node_endpoints: {text!r}: {wrong}")
    return found


def _split(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit()):
        raise ValueError(f"node_endpoints: {text!r} is not of the form ADDRESS:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)
