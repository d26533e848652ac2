"""All traffic of one endpoint in one direction, as a bitmap of the classes its rules tell apart.

With it "can this rule ever match" and "does anything change without it" are answered for all
traffic at once rather than for samples, and an answer comes with a flow that shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from tsujiban.policy.evaluate import NORMAL, rules_of, stage_of, stages
from tsujiban.policy.flow import Flow, Post, Request
from tsujiban.policy.lint.parts import (
    Lane,
    Place,
    Places,
    addresses_of,
    lanes,
    matches,
    mixes,
    ports_of,
    requests,
    service_sets,
)
from tsujiban.policy.program import Action, Direction, EndpointProgram, Http, Mesh, PolicyProgram, Rule, Side
from tsujiban.resources.protocols import TCP

MAX_CELLS = 1 << 20
"""Most classes of traffic of one endpoint and direction."""

MAX_FLOWS = 20_000
"""Most flows that are made of one set."""

MAX_QUESTIONS = 1 << 21
"""Most questions that are asked to find the classes of protocols and ports, or of requests."""


class TooManyClasses(ValueError):
    """An endpoint's rules tell apart more than can be looked at in bounded time and memory."""


class Walked(NamedTuple):
    """What came of all traffic: which of it is allowed, and what reached each rule."""

    allowed: int
    reached: dict[str, int]


class Space:
    """The traffic between one address of an endpoint and everything else, in one direction.

    Raises TooManyClasses.
    """

    def __init__(self, places: Places, endpoint: EndpointProgram, direction: Direction, own: str) -> None:
        self.endpoint = endpoint
        self.direction = direction
        self.own = own
        self._places = places
        self._world = places.world
        self._ingress = direction is Direction.INGRESS
        self.tiers = endpoint.ingress if self._ingress else endpoint.egress
        meshed = self._ingress and endpoint.mesh is not Mesh.NONE
        rules = list(self._rules(places.world.policies))
        self._lanes = self._lane_classes(rules, meshed)
        self._requests = self._request_classes(rules) if meshed else [None]
        self._there = self._place_classes(rules, len(places.all) if meshed else len(places.kernel))
        self._cells = len(self._lanes) * len(self._requests)
        if self._cells * len(self._there) > MAX_CELLS:
            raise TooManyClasses
        self._row = (1 << self._cells) - 1
        self._bits: dict[Rule, int] = {}
        self.everything = self._everything()

    # ------------------------------------------------------------------ classes

    def policies(self, known: Mapping[str, PolicyProgram]) -> Iterator[PolicyProgram]:
        """The policies and profiles of this program."""
        for name in (*(name for tier in self.tiers for name in tier.policies), *self.endpoint.profiles):
            if name in known:
                yield known[name]

    def _rules(self, known: Mapping[str, PolicyProgram]) -> Iterator[Rule]:
        for policy in self.policies(known):
            if not policy.staged:
                yield from rules_of(policy, self.direction)

    def _lane_classes(self, rules: list[Rule], meshed: bool) -> list[tuple[Lane, bool]]:
        """One lane of each class, and whether a proxy sees it."""
        parts = list({self._lane_part(rule): None for rule in rules})
        exact = any(mixes(self._far(rule)) for rule in rules)
        found: dict[tuple[object, ...], tuple[Lane, bool]] = {}
        candidates = lanes(rules, self._world)
        _bounded(candidates, parts)
        for lane in candidates:
            visible = meshed and lane.protocol == TCP
            answers = tuple(self._asks(part, lane) for part in parts)
            found.setdefault((visible, lane if exact else None, answers), (lane, visible))
        return list(found.values())

    def _place_classes(self, rules: list[Rule], count: int) -> list[Place]:
        """One place of each class, by the bitmaps of all rules' questions."""
        blocks = [
            (1 << count) - 1 & ~((1 << len(self._places.kernel)) - 1),
            (1 << len(self._places.kernel)) - 1,
        ]
        for wanted in {self._having(rule) for rule in rules}:
            blocks = [part for block in blocks for part in (block & wanted, block & ~wanted) if part]
        far = sorted({name for rule in rules for name in service_sets(self._far(rule))})
        places = self._places.all
        found = []
        for block in filter(None, blocks):
            if not far:
                found.append(places[(block & -block).bit_length() - 1])
                continue
            seen: dict[tuple[object, ...], Place] = {}
            for index in _set_bits(block):
                place = places[index]
                owned = tuple(
                    frozenset(t[1:] for t in self._triples(name) if t[0] == place.address) for name in far
                )
                seen.setdefault(owned, place)
            found += seen.values()
        return found

    def _request_classes(self, rules: list[Rule]) -> list[Request | None]:
        clauses = list({rule.http: None for rule in rules if rule.http is not None})
        found: dict[tuple[bool, ...], Request | None] = {}
        candidates = requests(clauses)
        _bounded(candidates, clauses)
        for request in candidates:
            answers = tuple(self._request_fits(http, request, Post.PROXY, Action.ALLOW) for http in clauses)
            found.setdefault((request is None, *answers), request)
        return list(found.values())

    def _triples(self, name: str) -> frozenset[tuple[str, int, int]]:
        return self._world.service_set(name) or frozenset()

    # ------------------------------------------------------------------ a rule's questions

    def _far(self, rule: Rule) -> Side:
        return rule.src if self._ingress else rule.dst

    def _lane_part(self, rule: Rule) -> Rule:
        """Protocol, ports, and all that is asked of the own end; the other end's ports when they are
        asked without its address."""
        far, near = (rule.src, rule.dst) if self._ingress else (rule.dst, rule.src)
        far_part = Side() if mixes(far) else ports_of(far)
        return Rule(
            id="",
            action=rule.action,
            protocols=rule.protocols,
            not_protocols=rule.not_protocols,
            icmp=rule.icmp,
            not_icmp=rule.not_icmp,
            src=far_part if self._ingress else near,
            dst=near if self._ingress else far_part,
        )

    def _asks(self, part: Rule, lane: Lane, address: str = "192.0.2.1") -> bool:
        flow = self._flow(Place(address, None), lane, None)
        return matches(part, self._world, flow, Post.KERNEL, None, False)

    def _having(self, rule: Rule) -> int:
        return self._places.having(
            addresses_of(rule.src if self._ingress else rule.dst),
            rule.ip_version,
            self.own,
            source=self._ingress,
            closing=rule.action is Action.DENY,
        )

    def _request_fits(self, http: Http | None, request: Request | None, post: Post, action: Action) -> bool:
        if http is None:
            return True
        flow = self._flow(Place(self.own, None), Lane(TCP), request)
        return matches(Rule(id="", action=action, http=http), self._world, flow, post, None, True)

    def _flow(self, there: Place, lane: Lane, request: Request | None) -> Flow:
        here, away = self.own, there.address
        source, destination = (away, here) if self._ingress else (here, away)
        return Flow(
            source=source,
            destination=destination,
            protocol=lane.protocol,
            port=lane.port,
            source_port=lane.source_port,
            icmp_type=lane.icmp_type,
            icmp_code=lane.icmp_code,
            peer=there.peer,
            http=request,
            source_endpoint="" if self._ingress else self.endpoint.id,
            destination_endpoint=self.endpoint.id if self._ingress else "",
        )

    # ------------------------------------------------------------------ bitmaps

    def _everything(self) -> int:
        """All cells that exist: a proxy sees only what reaches it."""
        seen = 0
        width = len(self._requests)
        for index, (_, visible) in enumerate(self._lanes):
            if visible:
                seen |= ((1 << width) - 1) << index * width
        found = 0
        for index, place in enumerate(self._there):
            found |= (self._row if place.peer is None else seen) << index * self._cells
        return found

    def bits(self, rule: Rule) -> int:
        """The traffic that a rule matches."""
        found = self._bits.get(rule)
        if found is None:
            found = self._bits[rule] = self._matched(rule) & self.everything
        return found

    def _matched(self, rule: Rule) -> int:
        part = self._lane_part(rule)
        open_lanes = [self._asks(part, lane) for lane, _ in self._lanes]
        if not any(open_lanes):
            return 0
        having = self._having(rule)
        index_of = self._places.index
        far = rule.src if self._ingress else rule.dst
        joint = None
        if mixes(far):
            side = ports_of(far)
            source, destination = (side, Side()) if self._ingress else (Side(), side)
            joint = Rule(id="", action=rule.action, src=source, dst=destination)
        rows: dict[bool, int] = {}
        found = 0
        for index, place in enumerate(self._there):
            if not having >> index_of[place] & 1:
                continue
            proxy = place.peer is not None
            if joint is not None:
                answers = [
                    fits and self._asks(joint, lane, place.address)
                    for fits, (lane, _) in zip(open_lanes, self._lanes, strict=True)
                ]
                row = self._row_of(rule, answers, proxy)
            else:
                if proxy not in rows:
                    rows[proxy] = self._row_of(rule, open_lanes, proxy)
                row = rows[proxy]
            found |= row << index * self._cells
        return found

    def _row_of(self, rule: Rule, answers: list[bool], proxy: bool) -> int:
        width = len(self._requests)
        post = Post.PROXY if proxy else Post.KERNEL
        shown = 0
        for index, request in enumerate(self._requests):
            if self._request_fits(rule.http, request, post, rule.action):
                shown |= 1 << index
        hidden = 0 if rule.http is not None else (1 << width) - 1
        row = 0
        for index, (fits, (_, visible)) in enumerate(zip(answers, self._lanes, strict=True)):
            if fits:
                row |= (shown if visible else hidden) << index * width
        return row

    def flows(self, bits: int) -> Iterator[Flow]:
        """A flow of each class in a set (of the first MAX_FLOWS), the easiest to write down first."""
        for at in self._in_order(bits):
            place, (lane, _), request = self._parts(at)
            own = place.peer is not None and place.peer == self._world.identity(place.address)
            yield self._flow(place._replace(peer=None) if own else place, lane, request)

    def peers(self, bits: int) -> Iterator[str | None]:
        """What the other end of each of `flows(bits)` proves to a proxy; None where the kernel is asked."""
        for at in self._in_order(bits):
            yield self._parts(at)[0].peer

    def _in_order(self, bits: int) -> list[int]:
        return sorted(islice(_set_bits(bits), MAX_FLOWS), key=self._oddity)

    def _parts(self, at: int) -> tuple[Place, tuple[Lane, bool], Request | None]:
        index, cell = divmod(at, self._cells)
        lane, request = divmod(cell, len(self._requests))
        return self._there[index], self._lanes[lane], self._requests[request]

    def _oddity(self, at: int) -> tuple[bool, bool, bool, int]:
        """How far a flow is from what people write."""
        place, (lane, _), request = self._parts(at)
        own = place.address in self._world.peers
        return (not own, lane.protocol != TCP, lane.port == 0, 0 if request is None else 1)

    # ------------------------------------------------------------------ the program

    def walk(
        self,
        known: Mapping[str, PolicyProgram],
        *,
        rules: frozenset[str] = frozenset(),
        policies: frozenset[str] = frozenset(),
    ) -> Walked:
        """All traffic through the program as `evaluate.walk` takes one flow through it, as if the
        rules and policies named were not there."""
        left, allowed = self.everything, 0
        reached: dict[str, int] = {}

        def through(given: Iterable[PolicyProgram]) -> int:
            """Take what is left through some policies' rules; returns what was passed on."""
            nonlocal left, allowed
            passed = 0
            for policy in given:
                for rule in rules_of(policy, self.direction):
                    if rule.id in rules:
                        continue
                    hit = self.bits(rule) & left
                    reached[rule.id] = reached.get(rule.id, 0) | hit
                    if rule.action is Action.LOG:
                        continue
                    left &= ~hit
                    if rule.action is Action.ALLOW:
                        allowed |= hit
                    elif rule.action is Action.PASS:
                        passed |= hit
            return passed

        for stage in stages(self.endpoint, self.direction):
            for tier in self.tiers:
                there = [known[name] for name in tier.policies if name in known and name not in policies]
                enforced = [p for p in there if not p.staged and stage_of(p) == stage]
                if not enforced:
                    continue
                passed = through(enforced)
                if stage == NORMAL and tier.default_action is Action.DENY:
                    left = 0
                left |= passed
        for name in self.endpoint.profiles:
            left |= through([known[name]] if name in known else [])
        return Walked(allowed, reached)


def _bounded(candidates: Sequence[object], questions: Sequence[object]) -> None:
    if len(candidates) * len(questions) > MAX_QUESTIONS:
        raise TooManyClasses


def _set_bits(bits: int) -> Iterator[int]:
    """Numbers of the bits that are set, lowest first, in linear time."""
    text = bin(bits)[:1:-1]
    at = text.find("1")
    while at >= 0:
        yield at
        at = text.find("1", at + 1)


def spaces(places: Places, endpoint: EndpointProgram) -> list[Space]:
    """The spaces of an endpoint: of every address, in both directions. Raises TooManyClasses."""
    return [Space(places, endpoint, direction, own) for own in endpoint.addresses for direction in Direction]
