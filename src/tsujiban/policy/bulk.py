"""Judging many flows: the definition's answers, at the price of a few dictionary look-ups.

Every endpoint's program becomes a chain of rules in order, shared by the endpoints that have the
same. Bits of integers stand for rules; an address, a protocol and a port each say which rules
they leave possible, and the first bit left decides. Rules with clauses that bits do not express
are asked with the definition's own test. A property test holds this equal to `evaluate`.
"""

from __future__ import annotations

from msgspec import structs

from tsujiban.policy.addresses import Span, canonical, is_host, span
from tsujiban.policy.authorize import authorize
from tsujiban.policy.clauses import View, first_failure
from tsujiban.policy.evaluate import (
    authentication_layer,
    conclude,
    evaluate,
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
from tsujiban.resources.protocols import TCP

MAX_KNOWN = 1 << 16
"""Most answers that one chain remembers; then it begins anew."""


class _Place:
    """What is known of an address: the sets of hosts that it is in, and whose it is."""

    __slots__ = ("number", "owner", "sets")

    def __init__(self, number: int, sets: frozenset[str], owner: str | None) -> None:
        self.number = number  # equal sets have equal numbers
        self.sets = sets
        self.owner = owner  # None: several


NOWHERE = _Place(0, frozenset(), None)

_Key = tuple[Direction, tuple[Tier, ...], tuple[str, ...], str]


class _Bits:
    """Which rules one end of a flow leaves possible, by its address."""

    __slots__ = ("always", "asks", "by_set", "known", "nets")

    def __init__(self) -> None:
        self.always = 0
        self.asks = False  # whether there is more than `always`
        self.by_set: dict[str, int] = {}
        self.nets: list[tuple[int, tuple[Span, ...]]] = []
        self.known: dict[int, int] = {}  # by the number of a place, where no network matters

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
            self.asks = True
            return True
        if side.nets is not None:
            self.nets.append((bit, tuple(span(net) for net in side.nets)))
            self.asks = True
            return True
        self.always |= bit
        return True

    def of(self, address: str, place: _Place) -> int:
        found = self.always
        by_set, sets = self.by_set, place.sets
        if by_set:
            if len(by_set) < len(sets):
                for name, bits in by_set.items():
                    if name in sets:
                        found |= bits
            else:
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
        else:
            if len(self.known) >= MAX_KNOWN:
                self.known.clear()
            self.known[place.number] = found
        return found


class _Chain:
    """One direction's program of the endpoints that share it."""

    __slots__ = ("asked", "destination", "entries", "fits", "named", "rules", "source", "speaking")

    def __init__(self, world: World, key: _Key, exact: dict[str, bool]) -> None:
        direction, tiers, profiles, no_profile = key
        self.source, self.destination = _Bits(), _Bits()
        # per bit: action, id, and the bits that go with a Pass
        self.entries: list[tuple[Action, str, int]] = []
        self.rules: list[Rule | None] = []
        self.asked = 0  # bits whose rule must be asked
        self.fits: dict[tuple[int, int], int] = {}
        self.named: dict[str, int] = {}  # the rules that a named port satisfies, by its set
        self.speaking: dict[tuple[int, int], int] = {}  # the rules that only a named port can satisfy
        for tier in tiers:
            start = len(self.entries)
            policies = [policy for name in tier.policies if not (policy := world.policies[name]).staged]
            if not policies:
                continue
            for policy in policies:
                for rule in rules_of(policy, direction):
                    self._add(world, rule, exact)
            self._default(tier.default_action, tier.default_id)
            whole = (1 << len(self.entries)) - (1 << start)
            for at in range(start, len(self.entries)):
                action, name, _ = self.entries[at]
                self.entries[at] = (action, name, whole)
        for name in profiles:
            start = len(self.entries)
            for rule in rules_of(world.policies[name], direction):
                self._add(world, rule, exact)
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

    def _add(self, world: World, rule: Rule, exact: dict[str, bool]) -> None:
        bit = 1 << len(self.entries)
        self.entries.append((rule.action, rule.id, 0))
        self.rules.append(rule)
        told = self.source.add(bit, rule.src, exact) & self.destination.add(bit, rule.dst, exact)
        ports, dst = rule.src.ports or rule.src.not_ports, rule.dst
        names = () if dst.ports is None else dst.ports.named
        unknown = any(name not in world.state.service_sets for name in names)
        for name in names:
            self.named[name] = self.named.get(name, 0) | bit
        named = unknown or (dst.not_ports is not None and dst.not_ports.named)
        if not told or ports or named or rule.icmp or rule.not_icmp or rule.ip_version or rule.http:
            self.asked |= bit

    def ports(self, protocol: int, port: int) -> int:
        """The rules that protocol and port leave possible, whoever has them."""
        found = self.fits.get((protocol, port))
        if found is None:
            found = speaking = 0
            for at, rule in enumerate(self.rules):
                if rule is None or _fits(rule, protocol, port):
                    found |= 1 << at
                elif rule.dst.ports is not None and rule.dst.ports.named and _carries(rule, protocol):
                    if 1 << at & self.asked:
                        found |= 1 << at
                    else:
                        speaking |= 1 << at
            self.fits[protocol, port] = found
            self.speaking[protocol, port] = speaking
        return found

    def decide(self, possible: int, asked: int, view: View, logged: list[str]) -> int:
        """Number of the first entry that matches among the possible ones. The last always does.
        The rules of the bits in `asked` are asked, the others are taken at the bits' word."""
        while True:
            bit = possible & -possible
            at = bit.bit_length() - 1
            possible ^= bit
            if bit & asked:
                rule = self.rules[at]
                if rule is not None and first_failure(rule, view) is not None:
                    continue
            action, name, whole = self.entries[at]
            if action is Action.PASS:
                possible &= ~whole
            elif action is Action.LOG:
                logged.append(name)
            else:
                return at


def _fits(rule: Rule, protocol: int, port: int) -> bool:
    """Protocol and numbered destination ports; anything else is asked."""
    if not _carries(rule, protocol):
        return False
    ports, not_ports = rule.dst.ports, rule.dst.not_ports
    numbered = protocol not in (1, 58)
    if ports is not None:
        return numbered and any(r.first <= port <= r.last for r in ports.ranges)
    if not_ports is not None and not not_ports.named and numbered:
        return not any(r.first <= port <= r.last for r in not_ports.ranges)
    return True


def _carries(rule: Rule, protocol: int) -> bool:
    return not (
        (rule.protocols and protocol not in rule.protocols)
        or (rule.not_protocols and protocol in rule.not_protocols)
    )


class _End:
    """What the evaluator keeps of one endpoint. A chain of None: only the definition may speak
    (host endpoints, and programs with something missing)."""

    __slots__ = (
        "egress",
        "identity",
        "ingress",
        "meshed",
        "open",
        "plain",
        "program",
        "proxied",
        "received",
        "sent",
    )

    def __init__(self, program: EndpointProgram, egress: _Chain | None, ingress: _Chain | None) -> None:
        self.program = program
        self.egress = egress
        self.ingress = ingress
        self.meshed = program.mesh is not Mesh.NONE
        self.identity = program.identity if self.meshed else ""
        # the layers of decisions, by the number of the entry; always the same object for the same one
        self.sent: dict[int, Layer] = {}
        self.received: dict[int, Layer] = {}
        self.proxied: dict[int, Layer] = {}
        # whether a peer's being authenticated is all that its mesh layers ask
        authentication = program.authentication
        refusing = authentication.mode is MtlsMode.DISABLE or bool(authentication.ports)
        self.plain = not (program.authorization or program.jwt or refusing)
        self.open: tuple[Layer, Layer] | None = None

    def layer(self, chain: _Chain, at: int, direction: Direction, proxied: bool) -> Layer:
        """The layer of a decision."""
        known = self.proxied if proxied else self.sent if direction is Direction.EGRESS else self.received
        found = known.get(at)
        if found is None:
            action, rule, _ = chain.entries[at]
            found = known[at] = Layer(
                layer=str(direction),
                endpoint=self.program.id,
                verdict=action,
                rule=rule,
                post=Post.PROXY if proxied else Post.KERNEL,
            )
        return found


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
        numbers: dict[frozenset[str], int] = {NOWHERE.sets: NOWHERE.number}
        self._places: dict[str, _Place] = {}
        for address, names in sets_of.items():
            sets, own = frozenset(names), owners[address]
            number = numbers.setdefault(sets, len(numbers))
            self._places[address] = _Place(number, sets, next(iter(own)) if len(own) == 1 else None)
        self._named: dict[tuple[str, int, int], list[str]] = {}  # sets of named ports, by their entries
        for name, services in state.service_sets.items():
            for entry in services.members:
                key = (canonical(entry.address), entry.protocol, entry.port)
                self._named.setdefault(key, []).append(name)
        self._guarded = frozenset(self.world.guards)
        self._chains: dict[_Key, _Chain] = {}
        self._ends: dict[str, _End] = {}

    def __call__(self, flow: Flow) -> Verdict:
        """The verdict of `evaluate(world, flow)`."""
        ends = self._ends
        source = ends.get(flow.source_endpoint) or self._end(flow.source_endpoint, flow.source)
        destination = ends.get(flow.destination_endpoint) or self._end(
            flow.destination_endpoint, flow.destination
        )
        if source is not None and (source.egress is None or source is destination):
            return evaluate(self.world, flow)
        if destination is not None and destination.ingress is None:
            return evaluate(self.world, flow)
        if self._guarded and not self._guarded.isdisjoint(_nodes(source, destination)):
            return evaluate(self.world, flow)  # it may cross a host endpoint
        places = self._places
        here, there = places.get(flow.source, NOWHERE), places.get(flow.destination, NOWHERE)
        layers: tuple[Layer, ...] = ()
        if source is not None and source.egress is not None:
            layers = (self._network(source, source.egress, Direction.EGRESS, flow, here, there, None),)
        if destination is not None and destination.ingress is not None:
            peer = None
            if destination.meshed and flow.protocol == TCP:
                if flow.peer is None and source is not None and flow.source_endpoint and destination.plain:
                    peer = source.identity
                else:
                    peer = self._peer(flow, source, destination.program)
            received = self._network(
                destination, destination.ingress, Direction.INGRESS, flow, here, there, peer
            )
            if peer is None:
                layers = (*layers, received)
            else:
                layers = (*layers, received, *self._mesh(destination, flow, peer))
        return conclude(layers)

    def _end(self, name: str, address: str) -> _End | None:
        found = self._ends.get(name)
        if found is not None:
            return found
        program = self.world.endpoints.get(name) if name else self.world.endpoint(address)
        if program is None:
            return None
        found = self._ends.get(program.id)
        if found is None:
            found = self._ends[program.id] = _End(
                program, self._chain(program, Direction.EGRESS), self._chain(program, Direction.INGRESS)
            )
        return found

    def _chain(self, endpoint: EndpointProgram, direction: Direction) -> _Chain | None:
        tiers = endpoint.ingress if direction is Direction.INGRESS else endpoint.egress
        names = (*endpoint.profiles, *(name for tier in tiers for name in tier.policies))
        if endpoint.host or not all(name in self.world.policies for name in names):
            return None
        key = (direction, tiers, endpoint.profiles, endpoint.no_profile_id)
        chain = self._chains.get(key)
        if chain is None:
            chain = self._chains[key] = _Chain(self.world, key, self._exact)
        return chain

    def _peer(self, flow: Flow, source: _End | None, destination: EndpointProgram) -> str:
        if mtls_mode(destination, flow.port) is MtlsMode.DISABLE:
            return ""
        if flow.peer is not None:
            return flow.peer
        if flow.source_endpoint:
            return "" if source is None else source.identity
        return self.world.identity(flow.source)

    def _network(
        self,
        end: _End,
        chain: _Chain,
        direction: Direction,
        flow: Flow,
        here: _Place,
        there: _Place,
        peer: str | None,
    ) -> Layer:
        """One network layer. `peer` None: no proxy of this endpoint sees the flow."""
        carried = (flow.protocol, flow.port)
        possible = chain.fits.get(carried) or chain.ports(flow.protocol, flow.port)
        if chain.named and (speaking := chain.speaking[carried]):
            for name in self._named.get((flow.destination, flow.protocol, flow.port), ()):
                possible |= chain.named.get(name, 0) & speaking
        side = chain.source
        if side.asks:
            possible &= side.known.get(here.number) or side.of(flow.source, here)
        else:
            possible &= side.always
        side = chain.destination
        if side.asks:
            possible &= side.known.get(there.number) or side.of(flow.destination, there)
        else:
            possible &= side.always
        first = possible & -possible
        proxied = peer is not None
        honest = not proxied or here is NOWHERE or peer == here.owner
        if honest and not first & chain.asked:  # all that is known of it is in the bits, for both posts
            at = first.bit_length() - 1
            action = chain.entries[at][0]
            if action is Action.ALLOW or action is Action.DENY:
                return end.layer(chain, at, direction, proxied and action is Action.ALLOW)
        asked = possible & chain.asked
        logged: list[str] = []
        view = View(self.world, flow, Post.KERNEL, None, proxied)
        at = chain.decide(possible, chain.asked, view, logged)
        if proxied and chain.entries[at][0] is Action.ALLOW:
            if not honest or asked:
                logged = []
                view = View(self.world, flow, Post.PROXY, peer, True)
                at = chain.decide(possible, chain.asked if honest else -1, view, logged)
        else:
            proxied = False
        layer = end.layer(chain, at, direction, proxied)
        return structs.replace(layer, logged=tuple(logged)) if logged else layer

    def _mesh(self, end: _End, flow: Flow, peer: str) -> tuple[Layer, Layer]:
        if end.plain and peer and end.open is not None:
            return end.open
        told = (
            authentication_layer(end.program, flow, peer),
            authorize(self.world, end.program, flow, peer),
        )
        if end.plain and peer:
            end.open = told
        return told


def _nodes(*ends: _End | None) -> set[str]:
    return {end.program.node for end in ends if end is not None}
