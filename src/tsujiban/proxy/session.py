"""One Envoy's aggregated delta stream, without the I/O.

Keeps what the proxy has asked for, what it holds, and what it has been sent but not yet accepted.
A proxy that comes back tells the versions it holds; what is the same is not sent again, so that
an agent's restart disturbs no listener.

One refused resource refuses its whole response, so what belongs to different endpoints (by the
prefix of its name) is sent in different responses.

Between the pieces of one change no connection may fail that is allowed before and after it. So
what a listener leads to is there before the listener is, and goes after it: clusters, the
endpoints that stay, and filters; then listeners; then the endpoints that are new, and what is gone.

An agent that has been restarted has no keys at first, and no way to ask for any while its controller is
away; the Envoy of the node has them still. So a pod without a key is served by what Envoy holds: it gets
the pod's policy if it holds the pod's key, and loses nothing of the pod before it has said what it holds.

Protocol: Envoy's xDS documentation, "Incremental xDS".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from envoy.service.discovery.v3 import discovery_pb2

from tsujiban.proxy import names
from tsujiban.proxy.clusters import service_clusters, staying
from tsujiban.proxy.delta import response
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
        self.sent: dict[str, Resource] = {}  # what was sent on this stream, by name
        self.refused: set[str] = set()  # not to be sent again before the next push
        self.pending: dict[str, Resource] = {}  # what may have to be sent: all else need not be looked at

    def wants(self, name: str) -> bool:
        return self.wildcard or name in self.names


class Session:
    """State of one stream. Not thread-safe."""

    def __init__(
        self, remove: Callable[[], bool] = lambda: True, led: Callable[[], bool] = lambda: True
    ) -> None:
        """`remove` is asked whether the proxy is to lose what it holds and should not, `led` whether it has
        taken the tunnels that listeners and endpoints may lead to (`ondemand`)."""
        self._remove = remove
        self._led = led
        self._types: dict[Kind, _Subscription] = {}
        self._keyed: Resources = {}  # what it should hold of pods whose key is known
        self._keyless: Mapping[str, Resources] = {}  # by owner
        self._desired: Resources = {}  # of all
        self._services: dict[str, set[str]] = {}  # clusters whose endpoints come by EDS, by owner
        self._waiting: dict[str, _Sent] = {}  # by nonce
        self._deferred = False  # something waits for an answer before it is sent
        self._counter = 0
        self._revision = 0
        self._refused: dict[tuple[str, Kind], str] = {}  # by owner
        self.version = ""  # of the proxy, once it has said so; e.g. "1.40.0"

    def request(
        self, message: discovery_pb2.DeltaDiscoveryRequest
    ) -> Iterator[discovery_pb2.DeltaDiscoveryResponse]:
        """Take a subscription, an ACK or a NACK; what there is to answer."""
        try:
            kind = Kind(message.type_url)
        except ValueError:
            return
        if message.node.HasField("user_agent_build_version"):
            told = message.node.user_agent_build_version.version
            self.version = f"{told.major_number}.{told.minor_number}.{told.patch}"
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
        subscription.refused -= subscribed
        if first and kind is Kind.SECRET and self._keyless:
            self._aim()
        elif first or subscribed or gone:
            self._look(kind)
        if first or subscribed or (message.response_nonce and self._deferred):
            yield from self._advance()

    def push(
        self, desired: Resources, revision: int, keyless: Mapping[str, Resources] = MappingProxyType({})
    ) -> Iterator[discovery_pb2.DeltaDiscoveryResponse]:
        """Make `desired`, the meaning of `revision`, what the proxy should hold; of `keyless` owners, whose
        key is not known here, what is listed, if it has their key. What it has refused is told again."""
        self._keyed, self._keyless, self._revision = desired, keyless, revision
        for subscription in self._types.values():
            subscription.refused.clear()
        self._aim()
        yield from self._advance()

    def _aim(self) -> None:
        """Find what the proxy should hold, and what of it it does not hold."""
        self._desired = self._keyed
        if self._keyless:
            holding = self._keyless.keys() & self.keys
            parts = [self._keyed, *(self._keyless[owner] for owner in sorted(holding))]
            self._desired = {
                kind: {name: one for part in parts for name, one in part.get(kind, {}).items()}
                for kind in Kind
            }
        self._services = {}
        for name in service_clusters(self._desired.get(Kind.CLUSTER, {})):
            self._services.setdefault(names.owner(name), set()).add(name)
        for kind in self._types:
            self._look(kind)

    def resume(self) -> Iterator[discovery_pb2.DeltaDiscoveryResponse]:
        """What has waited may perhaps be sent."""
        if self._deferred:
            yield from self._advance()

    def _look(self, kind: Kind) -> None:
        """Find what of a type the proxy does not hold as it should."""
        subscription = self._types[kind]
        held = subscription.held
        subscription.pending = {
            name: one
            for name, one in self._desired.get(kind, {}).items()
            if held.get(name) != one.version and subscription.wants(name)
        }

    def settled(self, revision: int) -> bool:
        """Whether the proxy has answered everything that `revision` meant for it."""
        return (
            self._revision >= revision
            and not self._deferred
            and not any(one.revision <= revision for one in self._waiting.values())
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
            self._types[kind].refused.update(answered.names)
            self._refused[answered.owner, kind] = f"Envoy refused a {kind.name.lower()}: {reason}"
        else:
            self._refused.pop((answered.owner, kind), None)

    @property
    def refuses(self) -> bool:
        """Whether anything that was refused waits for the next push."""
        return any(one.refused for one in self._types.values())

    def _advance(self) -> Iterator[discovery_pb2.DeltaDiscoveryResponse]:
        """Send what may be sent now."""
        changed, removed = self._changed(Kind.LISTENER), self._removed(Kind.LISTENER)
        turning = {names.owner(name) for name in (*(one.name for one in changed), *removed)}
        staged = turning | {one.owner for one in self._waiting.values() if one.kind is Kind.LISTENER}
        led = self._led()

        def done(name: str) -> bool:
            owner = names.owner(name)
            return led and (owner not in staged if owner else not staged)

        gone = [name for name in self._removed(Kind.CLUSTER) if done(name)]
        yield from self._send(Kind.CLUSTER, self._changed(Kind.CLUSTER), gone)
        endpoints = self._changed(Kind.ENDPOINT)
        now = [one for one in endpoints if done(one.name)]
        now += self._staying(one for one in endpoints if not done(one.name))
        yield from self._send(Kind.ENDPOINT, now, self._removed(Kind.ENDPOINT))
        yield from self._send(Kind.SECRET, self._changed(Kind.SECRET), self._removed(Kind.SECRET))
        filters, later = self._filters()
        yield from self._send(Kind.EXTENSION, filters, self._removed(Kind.EXTENSION))
        ready = {owner for owner in turning if led and not self._unready(owner)}
        changed = [one for one in changed if names.owner(one.name) in ready]
        removed = [name for name in removed if names.owner(name) in ready]
        yield from self._send(Kind.LISTENER, changed, removed)
        self._deferred = bool(staged) or not led or later or self._untold()

    def _filters(self) -> tuple[list[Resource], bool]:
        """The changed filters that may be sent now; whether there are more."""
        subscription = self._types.get(Kind.EXTENSION)
        if subscription is None:
            return [], False
        turns: dict[str, int] = {}
        changed = [
            (one, one.turn if one.name in subscription.held else 0) for one in self._changed(Kind.EXTENSION)
        ]
        told = [
            (subscription.sent[name], subscription.sent[name].turn)
            for waiting in self._waiting.values()
            if waiting.kind is Kind.EXTENSION
            for name in waiting.names
            if name in subscription.sent
        ]
        for one, turn in (*changed, *told):
            turns[names.owner(one.name)] = min(turn, turns.get(names.owner(one.name), turn))
        now = [one for one, turn in changed if turn == turns[names.owner(one.name)]]
        return now, len(now) < len(changed)

    @property
    def keys(self) -> set[str]:
        """The owners whose keys the proxy holds, as far as it has said."""
        secrets = self._types.get(Kind.SECRET)
        return set() if secrets is None else {names.owner(name) for name in secrets.held}

    def _untold(self) -> bool:
        """Whether the proxy holds listeners of which it is not known whether they have a key."""
        listeners = self._types.get(Kind.LISTENER, _Subscription()).held if self._keyless else {}
        return Kind.SECRET not in self._types and any(names.owner(one) in self._keyless for one in listeners)

    def _unready(self, owner: str) -> bool:
        """Whether a cluster that a new listener may lead to is not yet what it should be."""
        kinds, owners = (Kind.CLUSTER, Kind.ENDPOINT), {owner, ""}
        if any(one.kind in kinds and one.owner in owners for one in self._waiting.values()):
            return True
        if Kind.ENDPOINT not in self._types or Kind.CLUSTER not in self._types:
            return False
        held, refused = self._types[Kind.ENDPOINT].held, self._types[Kind.CLUSTER].refused
        return any(name not in held for name in self._services.get(owner, set()) - refused)

    def _staying(self, changed: Iterable[Resource]) -> Iterator[Resource]:
        """Of endpoints that change: those without the ones that the listeners do not know yet. What was asked
        for again is told again, the same or not: a listener may wait for it."""
        for one in changed:
            subscription = self._types[Kind.ENDPOINT]
            old = subscription.sent.get(one.name)
            if old is None:
                yield one
            elif (common := staying(old, one)).version != subscription.held.get(one.name):
                yield common

    def _changed(self, kind: Kind) -> list[Resource]:
        subscription = self._types.get(kind)
        if subscription is None:
            return []
        return [
            one
            for name, one in subscription.pending.items()
            if subscription.wants(name)
            and subscription.held.get(name) != one.version
            and name not in subscription.refused
        ]

    def _removed(self, kind: Kind) -> list[str]:
        subscription = self._types.get(kind)
        if subscription is None or not self._remove():
            return []
        gone = subscription.held.keys() - self._desired.get(kind, {}).keys() - subscription.refused
        if kind is Kind.SECRET or Kind.SECRET not in self._types:
            gone = {name for name in gone if names.owner(name) not in self._keyless}
        if kind is Kind.ENDPOINT:  # of a cluster that was asked for they go with it
            gone = {name for name in gone if not names.asked_service(name)[1]}
        return sorted(gone)

    def _send(
        self, kind: Kind, changed: list[Resource], removed: list[str]
    ) -> Iterator[discovery_pb2.DeltaDiscoveryResponse]:
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
        message = response(kind, self._counter, changed, removed)
        for one in changed:
            subscription.held[one.name] = one.version
            subscription.sent[one.name] = one
            if subscription.pending.get(one.name) is one:
                del subscription.pending[one.name]
        for name in removed:
            del subscription.held[name]
            subscription.sent.pop(name, None)
        listed = (*(one.name for one in changed), *removed)
        self._waiting[message.nonce] = _Sent(self._revision, kind, owner, listed)
        return message
