"""Judging many flows: the definition's answers, at the price of a few dictionary look-ups.

Every endpoint's program becomes a chain of rules in order, shared by the endpoints that have the
same. Bits of integers stand for rules; an address, a protocol and a port each say which rules
they leave possible, and the first bit left decides. Rules with clauses that bits do not express
are asked with the definition's own test. A property test holds this equal to `evaluate`.
"""

from __future__ import annotations

from collections.abc import Iterable

from tsujiban.policy.addresses import Span, is_host, span
from tsujiban.policy.authorize import authorize
from tsujiban.policy.clauses import View, first_failure
from tsujiban.policy.evaluate import (
    authentication_layer,
    conclude,
    evaluate,
    has_proxy,
    mtls_mode,
    rules_of,
)
from tsujiban.policy.flow import Flow, Layer, Post, Verdict
from tsujiban.policy.program import (
    Action,
    Direction,
    EndpointProgram,
    Mesh,
    MtlsMode,
    NodeState,
    Rule,
    Side,
    Tier,
)
from tsujiban.policy.world import World

REMEMBERED = 1 << 17
"""Most verdicts that are kept for flows that end in the same way."""

_Key = tuple[Direction, tuple[Tier, ...], tuple[str, ...], str]


class _Bits:
    """Which rules one end of a flow leaves possible, by its address."""

    __slots__ = ("always", "by_set", "nets")

    def __init__(self) -> None:
        self.always = 0
        self.by_set: dict[str, int] = {}
        self.nets: list[tuple[int, tuple[Span, ...]]] = []

    def add(self, bit: int, side: Side, exact: dict[str, bool]) -> bool:
        """File a rule; whether the bit then says all about the address."""
        if side.not_nets or side.not_sets or side.services or len(side.sets) > 1:
            self.always |= bit
            return False
        if side.sets:
            name = side.sets[0]
            if side.nets is not None or not exact.get(name, False):
                self.always |= bit
                return False
            self.by_set[name] = self.by_set.get(name, 0) | bit
            return True
        if side.nets is not None:
            self.nets.append((bit, tuple(span(net) for net in side.nets)))
            return True
        self.always |= bit
        return True

    def of(self, address: str, sets: Iterable[str]) -> int:
        found = self.always
        by_set = self.by_set
        if by_set:
            for name in sets:
                if name in by_set:
                    found |= by_set[name]
        if self.nets:
            version, first, _ = span(address)
            for bit, spans in self.nets:
                for its_version, low, high in spans:
                    if version == its_version and low <= first <= high:
                        found |= bit
                        break
        return found


class _Chain:
    """One direction's program of the endpoints that share it."""

    __slots__ = ("_ports", "asked", "destination", "entries", "http", "rules", "source")

    def __init__(self, world: World, key: _Key, exact: dict[str, bool]) -> None:
        direction, tiers, profiles, no_profile = key
        self.source, self.destination = _Bits(), _Bits()
        # per bit: action, id, and the bits that go with a Pass
        self.entries: list[tuple[Action, str, int]] = []
        self.rules: list[Rule | None] = []
        self.asked = 0  # bits whose rule must be asked
        self.http = 0  # bits whose rule has an HTTP clause
        self._ports: dict[tuple[int, int], int] = {}
        for tier in tiers:
            start = len(self.entries)
            policies = [policy for name in tier.policies if not (policy := world.policies[name]).staged]
            if not policies:
                continue
            for policy in policies:
                for rule in rules_of(policy, direction):
                    self._add(rule, exact)
            self._default(tier.default_action, tier.default_id)
            whole = (1 << len(self.entries)) - (1 << start)
            for at in range(start, len(self.entries)):
                action, name, _ = self.entries[at]
                self.entries[at] = (action, name, whole)
        for name in profiles:
            start = len(self.entries)
            for rule in rules_of(world.policies[name], direction):
                self._add(rule, exact)
            whole = (1 << len(self.entries)) - (1 << start)
            for at in range(start, len(self.entries)):
                action, rule_id, _ = self.entries[at]
                self.entries[at] = (action, rule_id, whole)
        self._default(Action.DENY, no_profile)

    def _default(self, action: Action, name: str) -> None:
        bit = 1 << len(self.entries)
        self.entries.append((action, name, 0))
        self.rules.append(None)
        self.source.always |= bit
        self.destination.always |= bit

    def _add(self, rule: Rule, exact: dict[str, bool]) -> None:
        bit = 1 << len(self.entries)
        self.entries.append((rule.action, rule.id, 0))
        self.rules.append(rule)
        told = self.source.add(bit, rule.src, exact) & self.destination.add(bit, rule.dst, exact)
        ports, dst = rule.src.ports or rule.src.not_ports, rule.dst
        named = (dst.ports is not None and dst.ports.named) or (
            dst.not_ports is not None and dst.not_ports.named
        )
        if not told or ports or named or rule.icmp or rule.not_icmp or rule.ip_version or rule.http:
            self.asked |= bit
        if rule.http:
            self.http |= bit

    def ports(self, protocol: int, port: int) -> int:
        """The rules that protocol and port leave possible."""
        found = self._ports.get((protocol, port))
        if found is None:
            found = 0
            for at, rule in enumerate(self.rules):
                if rule is None or _fits(rule, protocol, port):
                    found |= 1 << at
            self._ports[protocol, port] = found
        return found

    def decide(self, possible: int, view: View, logged: list[str]) -> tuple[Action, str]:
        """The first rule that matches among the possible ones. The last bit always does."""
        asked, entries = self.asked, self.entries
        while True:
            bit = possible & -possible
            at = bit.bit_length() - 1
            possible ^= bit
            if bit & asked:
                rule = self.rules[at]
                if rule is not None and first_failure(rule, view) is not None:
                    continue
            action, name, whole = entries[at]
            if action is Action.PASS:
                possible &= ~whole
            elif action is Action.LOG:
                logged.append(name)
            else:
                return action, name


def _fits(rule: Rule, protocol: int, port: int) -> bool:
    """Protocol and numbered destination ports; anything else is asked."""
    if rule.protocols and protocol not in rule.protocols:
        return False
    if rule.not_protocols and protocol in rule.not_protocols:
        return False
    ports, not_ports = rule.dst.ports, rule.dst.not_ports
    numbered = protocol not in (1, 58)
    if ports is not None and not ports.named:
        return numbered and any(r.first <= port <= r.last for r in ports.ranges)
    if not_ports is not None and not not_ports.named and numbered:
        return not any(r.first <= port <= r.last for r in not_ports.ranges)
    return True


class BulkEvaluator:
    """Judges many flows on one state, which must not change meanwhile."""

    def __init__(self, world: World | NodeState) -> None:
        self.world = World(world) if isinstance(world, NodeState) else world
        state = self.world.state
        self._exact = {name: all(is_host(m.net) for m in found.members) for name, found in state.sets.items()}
        sets_of: dict[str, list[str]] = {}
        owners: dict[str, set[str]] = {}
        for name, found in state.sets.items():
            if self._exact[name]:
                for member in found.members:
                    sets_of.setdefault(member.net, []).append(name)
                    owners.setdefault(member.net, set()).add(member.identity)
        self._sets_of = {address: tuple(names) for address, names in sets_of.items()}
        self._owners = {
            address: next(iter(ids)) if len(ids) == 1 else None for address, ids in owners.items()
        }
        self._chains: dict[_Key, _Chain] = {}
        self._ingress: dict[str, _Chain | None] = {}
        self._egress: dict[str, _Chain | None] = {}
        self._layers: dict[tuple[str, Direction, Action, str, Post], Layer] = {}
        self._open: dict[str, tuple[Layer, Layer]] = {}
        self._verdicts: dict[tuple[int, ...], Verdict] = {}

    def __call__(self, flow: Flow) -> Verdict:
        """The verdict of `evaluate(world, flow)`."""
        endpoints = self.world.endpoints
        source = (
            endpoints.get(flow.source_endpoint) if flow.source_endpoint else self.world.endpoint(flow.source)
        )
        destination = (
            endpoints.get(flow.destination_endpoint)
            if flow.destination_endpoint
            else self.world.endpoint(flow.destination)
        )
        egress = ingress = None
        if source is not None:
            egress = self._chain(source, Direction.EGRESS)
            if egress is None or source is destination:
                return evaluate(self.world, flow)
        if destination is not None:
            ingress = self._chain(destination, Direction.INGRESS)
            if ingress is None:
                return evaluate(self.world, flow)
        none: tuple[str, ...] = ()
        here, there = self._sets_of.get(flow.source, none), self._sets_of.get(flow.destination, none)
        layers: list[Layer] = []
        if source is not None and egress is not None:
            layers.append(self._network(egress, source, Direction.EGRESS, flow, here, there, False, None))
        if destination is not None and ingress is not None:
            proxied = has_proxy(destination, flow)
            peer = self._peer(flow, source, destination) if proxied else None
            layers.append(
                self._network(ingress, destination, Direction.INGRESS, flow, here, there, proxied, peer)
            )
            if proxied:
                layers += self._mesh(destination, flow, peer or "")
        # a verdict keeps its layers alive, so their addresses stay theirs while it is remembered
        key = tuple(map(id, layers))
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = conclude(layers)
            if len(self._verdicts) >= REMEMBERED:
                self._verdicts.clear()
            self._verdicts[key] = verdict
        return verdict

    def _chain(self, endpoint: EndpointProgram, direction: Direction) -> _Chain | None:
        """The endpoint's chain; None when only the definition may speak (host endpoints, and
        programs with something missing)."""
        known = self._ingress if direction is Direction.INGRESS else self._egress
        if endpoint.id in known:
            return known[endpoint.id]
        tiers = endpoint.ingress if direction is Direction.INGRESS else endpoint.egress
        names = (*endpoint.profiles, *(name for tier in tiers for name in tier.policies))
        chain = None
        if not endpoint.host and all(name in self.world.policies for name in names):
            key = (direction, tiers, endpoint.profiles, endpoint.no_profile_id)
            chain = self._chains.get(key)
            if chain is None:
                chain = self._chains[key] = _Chain(self.world, key, self._exact)
        known[endpoint.id] = chain
        return chain

    def _peer(self, flow: Flow, source: EndpointProgram | None, destination: EndpointProgram) -> str:
        if mtls_mode(destination, flow.port) is MtlsMode.DISABLE:
            return ""
        if flow.peer is not None:
            return flow.peer
        if flow.source_endpoint:
            return source.identity if source is not None and source.mesh is not Mesh.NONE else ""
        return self.world.identity(flow.source)

    def _network(
        self,
        chain: _Chain,
        endpoint: EndpointProgram,
        direction: Direction,
        flow: Flow,
        here: tuple[str, ...],
        there: tuple[str, ...],
        proxied: bool,
        peer: str | None,
    ) -> Layer:
        possible = (
            chain.source.of(flow.source, here)
            & chain.destination.of(flow.destination, there)
            & chain.ports(flow.protocol, flow.port)
        )
        logged: list[str] = []
        action, rule = chain.decide(possible, View(self.world, flow, Post.KERNEL, None, proxied), logged)
        post = Post.KERNEL
        if proxied and action is Action.ALLOW:
            post = Post.PROXY
            honest = peer == self._owners.get(flow.source, peer)
            if not honest or possible & chain.asked:
                view = View(self.world, flow, Post.PROXY, peer, True)
                logged = []
                if honest:
                    action, rule = chain.decide(possible, view, logged)
                else:
                    action, rule = self._asked(chain, possible, view, logged)
        if logged:
            return Layer(
                layer=str(direction),
                endpoint=endpoint.id,
                verdict=action,
                rule=rule,
                post=post,
                logged=tuple(logged),
            )
        key = (endpoint.id, direction, action, rule, post)
        layer = self._layers.get(key)
        if layer is None:
            layer = Layer(layer=str(direction), endpoint=endpoint.id, verdict=action, rule=rule, post=post)
            self._layers[key] = layer
        return layer

    @staticmethod
    def _asked(chain: _Chain, possible: int, view: View, logged: list[str]) -> tuple[Action, str]:
        """As `decide`, but every rule is asked: the peer is not who owns the address."""
        asked, chain.asked = chain.asked, -1
        try:
            return chain.decide(possible, view, logged)
        finally:
            chain.asked = asked

    def _mesh(self, destination: EndpointProgram, flow: Flow, peer: str) -> tuple[Layer, Layer]:
        if destination.authorization or destination.jwt or not peer:
            return (
                authentication_layer(destination, flow, peer),
                authorize(self.world, destination, flow, peer),
            )
        found = self._open.get(destination.id)
        if found is None:
            found = self._open[destination.id] = (
                authentication_layer(destination, flow, peer),
                authorize(self.world, destination, flow, peer),
            )
        return found
