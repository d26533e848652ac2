"""One Envoy's aggregated delta stream, without the I/O.

Keeps what the proxy has asked for, what it holds, and what it has been sent but not yet accepted.
A proxy that comes back tells the versions it holds; what is the same is not sent again, so that
an agent's restart disturbs no listener.

One refused resource refuses its whole response, so what belongs to different endpoints (by the
prefix of its name) is sent in different responses.

Protocol: Envoy's xDS documentation, "Incremental xDS".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from envoy.service.discovery.v3 import discovery_pb2

from tsujiban.proxy import names
from tsujiban.proxy.resource import Kind, Resource, Resources

_WILDCARD = "*"
_NOT_HELD = ""  # no resource has this version
_REASON = 400  # characters


class _Sent(NamedTuple):
    """A response that has not been answered yet."""

    revision: int
    kind: Kind
    owner: str
    names: tuple[str, ...]


class _Subscription:
    """One type on the stream."""

    def __init__(self) -> None:
        self.wildcard = False
        self.names: set[str] = set()
        self.held: dict[str, str] = {}  # version by name, as last sent or told

    def wants(self, name: str) -> bool:
        return self.wildcard or name in self.names


class Session:
    """State of one stream. Not thread-safe."""

    def __init__(self) -> None:
        self._types: dict[Kind, _Subscription] = {}
        self._desired: Resources = {}
        self._waiting: dict[str, _Sent] = {}  # by nonce
        self._counter = 0
        self._revision = 0
        self._refused: dict[tuple[str, Kind], str] = {}  # by owner

    def request(
        self, message: discovery_pb2.DeltaDiscoveryRequest
    ) -> Iterator[discovery_pb2.DeltaDiscoveryResponse]:
        """Take a subscription, an ACK or a NACK; what there is to answer."""
        try:
            kind = Kind(message.type_url)
        except ValueError:
            return
        if message.response_nonce:
            self._acknowledge(message, kind)
        first = kind not in self._types
        subscription = self._types.setdefault(kind, _Subscription())
        subscribed = set(message.resource_names_subscribe)
        gone = set(message.resource_names_unsubscribe)
        if first:
            subscription.held.update(message.initial_resource_versions)
            subscription.wildcard = not subscribed
        else:
            for name in subscribed:
                subscription.held.pop(name, None)
        if _WILDCARD in subscribed:
            subscription.wildcard = True
        if _WILDCARD in gone:
            subscription.wildcard = False
        subscription.names |= subscribed - {_WILDCARD}
        subscription.names -= gone
        for name in gone:
            subscription.held.pop(name, None)
        if first or subscribed:
            yield from self._difference(kind)

    def push(self, desired: Resources, revision: int) -> Iterator[discovery_pb2.DeltaDiscoveryResponse]:
        """Make `desired`, the meaning of `revision`, what the proxy should hold."""
        self._desired = desired
        self._revision = revision
        for kind in Kind:
            yield from self._difference(kind)

    def settled(self, revision: int) -> bool:
        """Whether the proxy has answered everything that `revision` meant for it."""
        return self._revision >= revision and not any(
            one.revision <= revision for one in self._waiting.values()
        )

    def holds(self, resources: Resources) -> bool:
        """Whether the proxy has asked for, and accepted, all of these."""
        waiting = {(one.kind, name) for one in self._waiting.values() for name in one.names}
        return all(
            self._holds(one) and (kind, name) not in waiting
            for kind, listed in resources.items()
            for name, one in listed.items()
        )

    def _holds(self, one: Resource) -> bool:
        subscription = self._types.get(one.kind)
        if subscription is None:
            return False
        unasked = one.on_demand and not subscription.wants(one.name)
        return unasked or subscription.held.get(one.name) == one.version

    def problems_of(self, owner: str) -> tuple[str, ...]:
        """What the proxy refused of an endpoint's, or of what all share, and has not been sent anew."""
        return tuple(reason for (whose, _), reason in sorted(self._refused.items()) if whose in {owner, ""})

    def _acknowledge(self, message: discovery_pb2.DeltaDiscoveryRequest, kind: Kind) -> None:
        answered = self._waiting.pop(message.response_nonce, None)
        if answered is None:
            return
        if message.HasField("error_detail"):
            reason = message.error_detail.message[-_REASON:]  # it begins with the whole resource
            # One bad resource refuses all that came with it: they are told again with the next push.
            self._types[kind].held.update(dict.fromkeys(answered.names, _NOT_HELD))
            self._refused[answered.owner, kind] = f"Envoy refused a {kind.name.lower()}: {reason}"
        else:
            self._refused.pop((answered.owner, kind), None)

    def _difference(self, kind: Kind) -> Iterator[discovery_pb2.DeltaDiscoveryResponse]:
        subscription = self._types.get(kind)
        if subscription is None:
            return
        desired = self._desired.get(kind, {})
        changed: list[Resource] = [
            one
            for name, one in desired.items()
            if subscription.wants(name) and subscription.held.get(name) != one.version
        ]
        removed = [name for name in subscription.held if name not in desired]
        changes: dict[str, tuple[list[Resource], list[str]]] = {}
        for one in changed:
            changes.setdefault(names.owner(one.name), ([], []))[0].append(one)
        for name in removed:
            changes.setdefault(names.owner(name), ([], []))[1].append(name)
        for owner in sorted(changes):
            yield self._response(kind, owner, *changes[owner])

    def _response(
        self, kind: Kind, owner: str, changed: list[Resource], removed: list[str]
    ) -> discovery_pb2.DeltaDiscoveryResponse:
        subscription = self._types[kind]
        self._counter += 1
        response = discovery_pb2.DeltaDiscoveryResponse(
            type_url=kind, nonce=str(self._counter), removed_resources=removed
        )
        for one in changed:
            resource = response.resources.add(name=one.name, version=one.version)
            resource.resource.type_url = kind
            resource.resource.value = one.encoded()
            subscription.held[one.name] = one.version
        for name in removed:
            del subscription.held[name]
        listed = (*(one.name for one in changed), *removed)
        self._waiting[response.nonce] = _Sent(self._revision, kind, owner, listed)
        return response
