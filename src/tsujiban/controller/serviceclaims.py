"""What a service has alone (its addresses, its ports of the nodes), told apart in the store itself.

Whoever writes a service has looked before whether an address is free, and so has whoever writes another at
the same moment. So each address is an object of its own, which names its service, and is written in the very
transaction in which the service gets it: of two, one fails. Kinds of this group are served by no API.

A claim whose service is gone, or has the address no more, is nobody's, and the next service takes it over in
its own transaction; so a deletion needs no care, however it comes about. `repair` takes such claims away, and
makes those that are missing: of services that were written before there were any, or behind our back.
Source: Kubernetes, "Service ClusterIP allocation"; IPAddress of networking.k8s.io.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog

from tsujiban.policy.addresses import canonical
from tsujiban.resources.names import INTERNAL_GROUP
from tsujiban.store import metadata
from tsujiban.store.protocol import (
    AlreadyExists,
    Check,
    Conflict,
    Create,
    Delete,
    InvalidValue,
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

GROUP, RESOURCE = INTERNAL_GROUP, "serviceclaims"
CLUSTER, EXTERNAL = "spec.clusterIPs", "spec.externalIPs"
PORT = "port-"  # how the name of a port's claim begins; that of an address is the address
REPAIR_SECONDS = 180.0  # as Kubernetes' own
ATTEMPTS = 16
_TOGETHER = 128  # repairs under way at once


class Taken(StoreError):
    """A service asks for what another has."""

    def __init__(self, service: Key, claim: str, field: str, holder: Key) -> None:
        super().__init__(f"{claim}, which {service} asks for, is that of {holder}")
        self.service = service
        self.claim = claim
        self.field = field


class Shared(NamedTuple):
    """A service with something that is another's, from before anybody looked."""

    service: Json
    claim: str


def claims(service: Json) -> dict[str, str]:
    """What a service has, or asks for, and nobody else may have: names of claims, each with its field."""
    spec = service.get("spec")
    spec = spec if isinstance(spec, dict) else {}
    found: dict[str, str] = {}
    for field, addresses in (
        (EXTERNAL, spec.get("externalIPs")),
        (CLUSTER, [spec.get("clusterIP"), *_list(spec.get("clusterIPs"))]),
    ):
        found.update((name, field) for address in _list(addresses) if (name := _address(address)))
    for index, port in enumerate(_list(spec.get("ports"))):
        number = port.get("nodePort") if isinstance(port, dict) else None
        found.update(_port(number, f"spec.ports[{index}].nodePort"))
    return found | _port(spec.get("healthCheckNodePort"), "spec.healthCheckNodePort")


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


def _address(text: Any) -> str:
    """The claim's name; "" of what is no address: what is stored may be older than its validation."""
    if not isinstance(text, str) or text in ("", "None"):
        return ""
    try:
        return canonical(text)
    except ValueError:
        return ""


def _port(number: Any, field: str) -> dict[str, str]:
    return {f"{PORT}{number}": field} if isinstance(number, int) and number > 0 else {}


def allocated(claim: str) -> str:
    """Why a service may not have it, in a real server's words."""
    what = "port" if claim.startswith(PORT) else "IP"
    return f"{claim.removeprefix(PORT)}: provided {what} is already allocated"


class ServiceClaims(StoreWrapper):
    """A store in which no service gets what another has. Its `transaction` raises Taken, too."""

    async def transaction(self, operations: Sequence[Operation]) -> tuple[Stored | None, ...]:
        """See `Store.transaction`."""
        if not any(_writes_service(operation) for operation in operations):
            return await self._store.transaction(operations)
        for _ in range(ATTEMPTS):
            pinned, further = await self._with_claims(operations)
            try:
                return (await self._store.transaction([*pinned, *further]))[: len(operations)]
            except (AlreadyExists, Conflict, NotFound) as error:
                if not _may_go_on(error.key, operations, further):
                    raise
        raise StoreUnavailable("others write the same services without pause")

    async def close(self) -> None:
        """See `Store.close`: it is for whoever opened the store that one, and no view of it."""
        await self._store.close()

    async def _with_claims(self, operations: Sequence[Operation]) -> tuple[list[Operation], list[Operation]]:
        """The operations, each bound to what was there when claims were looked at, and those that claim."""
        pinned: list[Operation] = []
        after: dict[Key, dict[str, str]] = {}  # what each service that is written will have
        gained: list[tuple[Key, str]] = []
        for operation in operations:
            bound = operation
            if _writes_service(operation):
                held: dict[str, str] = {}
                if isinstance(operation, Update):
                    stored = await self._store.get(operation.key)
                    if operation.expected not in (None, stored.revision):
                        raise Conflict(operation.key, operation.expected or 0, stored.revision)
                    bound = Update(operation.key, operation.value, stored.revision)
                    held = claims(_read(stored.value))
                wanted = {} if isinstance(operation, Delete | Check) else claims(_read(operation.value))
                after[operation.key] = wanted
                gained += [(operation.key, name) for name in wanted if name not in held]
            pinned.append(bound)
        holders: dict[str, list[Key]] = defaultdict(list)
        for key, wanted in after.items():
            for name in wanted:
                holders[name].append(key)
        further: list[Operation] = []
        for service, name in gained:
            for other in holders[name]:
                if other != service:
                    raise Taken(service, name, after[service][name], other)
            further += await self._claim(service, name, after)
        return pinned, further

    async def _claim(self, service: Key, name: str, after: dict[Key, dict[str, str]]) -> list[Operation]:
        """What makes a claim the service's. Raises Taken."""
        at, value = _key(name), _value(name, service)
        claim = await _find(self._store, at)
        if claim is None:
            return [Create(at, value)]
        holder = _holder(claim)
        if holder == service:
            return [Check(at, claim.revision)]
        take = Update(at, value, claim.revision)
        if holder is None or holder in after:  # what is written here has it no more
            return [take]
        held = await _find(self._store, holder)
        if held is not None and name in claims(_read(held.value)):
            raise Taken(service, name, after[service][name], holder)
        return [_unchanged(holder, held), take]


async def repair(store: Store) -> list[Shared]:
    """Make claims what services have; who has what is another's. Raises StoreUnavailable."""
    present = {item.key.name: item for item in (await store.list(GROUP, RESOURCE)).items}
    services = {item.key: item for item in (await store.list("", "services")).items}
    read = {key: _read(item.value) for key, item in services.items()}
    wanted: dict[str, list[Key]] = defaultdict(list)
    for key in sorted(services, key=lambda one: (_age(read[one]), one)):
        for name in claims(read[key]):
            wanted[name].append(key)
    shared: list[Shared] = []
    due: list[list[Operation]] = []
    for name, holders in wanted.items():
        claim = present.get(name)
        holder = None if claim is None else _holder(claim)
        if holder not in holders:  # the oldest has it
            holder = holders[0]
            due.append([_unchanged(holder, services[holder]), _write(name, holder, claim)])
        shared += [Shared(read[other], name) for other in holders if other != holder]
    for name, claim in present.items():
        if name not in wanted:
            holder = _holder(claim)
            checks = [] if holder is None else [_unchanged(holder, services.get(holder))]
            due.append([*checks, Delete(claim.key, claim.revision)])
    for start in range(0, len(due), _TOGETHER):
        await asyncio.gather(*(_mend(store, operations) for operations in due[start : start + _TOGETHER]))
    return shared


async def _mend(store: Store, operations: Sequence[Operation]) -> None:
    try:
        await store.transaction(operations)
    except (AlreadyExists, Conflict, NotFound) as error:
        log.debug("a service has changed meanwhile; the next look sees it", error=str(error))


def _write(name: str, service: Key, claim: Stored | None) -> Operation:
    value = _value(name, service)
    return Create(_key(name), value) if claim is None else Update(claim.key, value, claim.revision)


def _may_go_on(key: Key, operations: Sequence[Operation], further: Iterable[Operation]) -> bool:
    """Whether a transaction that failed for an object may be tried again: it was not the caller who said
    how that must be."""
    if any(operation.key == key for operation in further):
        return True
    return any(one.key == key and isinstance(one, Update) and one.expected is None for one in operations)


def _unchanged(key: Key, stored: Stored | None) -> Check:
    return Check(key, 0 if stored is None else stored.revision)


def _writes_service(operation: Operation) -> bool:
    key = operation.key
    return key.resource == "services" and not key.group and not isinstance(operation, Check)


async def _find(store: Store, key: Key) -> Stored | None:
    try:
        return await store.get(key)
    except NotFound:
        return None


def _key(name: str) -> Key:
    return Key(GROUP, RESOURCE, "", name)


def _value(name: str, service: Key) -> bytes:
    head = {"apiVersion": f"{GROUP}/v1", "kind": "ServiceClaim", "metadata": {"name": name}}
    return msgspec.json.encode({**head, "spec": {"namespace": service.namespace, "name": service.name}})


def _holder(claim: Stored) -> Key | None:
    """The service that a claim names; None when it cannot be read."""
    spec = _read(claim.value).get("spec")
    found = [spec.get(field) for field in ("namespace", "name")] if isinstance(spec, dict) else []
    texts = [text for text in found if isinstance(text, str)]
    return Key("", "services", *texts) if len(texts) == 2 else None


def _age(service: Json) -> str:
    return str((service.get("metadata") or {}).get("creationTimestamp") or "")


def _read(value: bytes) -> Json:
    """An object; {} of what is none, which the store refuses."""
    try:
        return metadata.decode(value)
    except InvalidValue:
        return {}
