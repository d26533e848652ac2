"""The judge of many flows: puts ends, questions and chains together.

Whatever is not a plain case (host endpoints and what crosses them, programs with something
missing, a peer that is not who the address says) is asked of the definition.
"""

from __future__ import annotations

from tsujiban.policy import authorize, clauses
from tsujiban.policy.addresses import canonical
from tsujiban.policy.bulk.asked import Asked, Parts, Questions, parts_of
from tsujiban.policy.bulk.chains import Chain, Extra, Group, Key, Outcome, Part, Plan, View
from tsujiban.policy.bulk.places import Place, Places
from tsujiban.policy.evaluate import (
    AUTHENTICATION,
    NORMAL,
    conclude,
    counts,
    evaluate,
    mtls_mode,
    network_layer,
    rules_of,
)
from tsujiban.policy.flow import Flow, Layer, Post, Request, Verdict
from tsujiban.policy.program import (
    Action,
    Direction,
    EndpointProgram,
    Http,
    Mesh,
    MtlsMode,
    NodeState,
    Rule,
    Tier,
)
from tsujiban.policy.world import World
from tsujiban.resources.protocols import TCP

MAX_PARTIES = 1 << 17
"""Most ends that are remembered; then all are forgotten."""

MAX_PLANS = 1 << 19
"""Most plans that are remembered; then all are forgotten."""

Told = tuple[Outcome | None, Outcome | None, Outcome | None, Outcome | None]
"""What the layers say: egress, ingress, authentication, authorization; None: not asked."""

ACCEPTED = Outcome(AUTHENTICATION, Action.ALLOW, "", Post.PROXY)
UNJUDGED = Outcome(authorize.LAYER, Action.ALLOW, "", Post.PROXY)


class Party(Place):
    """One end of flows: an endpoint's id or "", and an address."""

    __slots__ = (
        "authorized",
        "egress",
        "endpoint",
        "identity",
        "ingress",
        "layers",
        "meshed",
        "odd",
        "program",
        "silent",
        "strange",
        "text",
    )

    def __init__(
        self, endpoint: str, place: Place, program: EndpointProgram | None, identity: str, *, odd: bool
    ) -> None:
        super().__init__(place.address, place.sets, place.owner)
        self.endpoint = endpoint
        self.identity = identity  # what it presents on the wire
        self.program = program
        self.odd = odd  # only the definition may speak
        self.egress: Chain | None = None
        self.ingress: Chain | None = None
        self.meshed = program is not None and program.mesh is not Mesh.NONE
        self.authorized = program is not None and bool(program.authorization or program.jwt)
        modes = None if program is None else program.authentication
        self.strange = modes is not None and (bool(modes.ports) or modes.mode is MtlsMode.DISABLE)
        self.text = self.silent = b""  # what `lines` makes of its id
        self.layers: dict[Outcome, Layer] = {}  # always the same object for the same outcome

    def layer(self, outcome: Outcome) -> Layer:
        """The layer of an outcome here."""
        found = outcome.of("" if self.program is None else self.program.id)
        if not outcome.logged:  # those are new each time
            self.layers[outcome] = found
        return found


class BulkEvaluator:
    """Judges many flows on one state, which must not change meanwhile."""

    def __init__(self, world: World | NodeState) -> None:
        self.world = World(world) if isinstance(world, NodeState) else world
        self._places = Places(self.world)
        self._questions = Questions()
        self._parties: dict[tuple[str, str], Party] = {}
        self._chains: dict[Key, Chain | None] = {}
        self._parts: dict[tuple[str, Direction], list[Part]] = {}
        self._clauses: dict[Http, int] = {}
        self._plans = 0
        self._judged: dict[tuple[str, Action, str], Outcome] = {}
        self._named: dict[tuple[str, int, int], list[str]] = {}  # sets of named ports, by their entries
        for name, services in self.world.state.service_sets.items():
            for entry in services.members:
                key = (canonical(entry.address), entry.protocol, entry.port)
                self._named.setdefault(key, []).append(name)

    def __call__(self, flow: Flow) -> Verdict:
        """The verdict of `evaluate(world, flow)`."""
        source = self.party(flow.source_endpoint, flow.source)
        destination = self.party(flow.destination_endpoint, flow.destination)
        told = self.told(source, destination, self.ask(parts_of(flow), flow.http))
        if told is None:
            return evaluate(self.world, flow)
        sent, received, authentication, authorization = told
        layers: tuple[Layer, ...] = ()
        if sent is not None:
            layers = (source.layers.get(sent) or source.layer(sent),)
        if received is not None:
            known = destination.layers
            layers = (*layers, known.get(received) or destination.layer(received))
            if authentication is not None and authorization is not None:
                layers = (
                    *layers,
                    known.get(authentication) or destination.layer(authentication),
                    known.get(authorization) or destination.layer(authorization),
                )
        return conclude(layers)

    def party(self, endpoint: str, address: str) -> Party:
        """What is known of one end of a flow."""
        key = (endpoint, address)
        found = self._parties.get(key)
        if found is None:
            if len(self._parties) >= MAX_PARTIES:
                self._parties.clear()
            found = self._parties[key] = self._party(endpoint, address)
        return found

    def ask(self, parts: Parts, request: Request | None) -> Asked:
        """What is known of a flow's question."""
        if self._questions.full():
            self._questions.forget()
        return self._questions.ask(parts, request)

    def told(self, source: Party, destination: Party, asked: Asked) -> Told | None:
        """What each layer says; None: the definition must be asked."""
        if source.odd or destination.odd:
            return None
        if source.program is not None and source.program is destination.program:
            return None  # never leaves the workload
        number = asked.number
        sent = None
        chain = source.egress
        if chain is not None:
            plan = chain.blind.get(number) or self._plan(chain, asked, View.BLIND)
            sent = plan.certain or self._walk(plan, source, destination, asked, View.BLIND, None)
        chain = destination.ingress
        if chain is None:
            return sent, None, None, None
        if not destination.meshed or asked.protocol != TCP:
            plan = chain.blind.get(number) or self._plan(chain, asked, View.BLIND)
            received = plan.certain or self._walk(plan, source, destination, asked, View.BLIND, None)
            return sent, received, None, None
        plan = chain.seen.get(number) or self._plan(chain, asked, View.KERNEL)
        received = plan.certain or self._walk(plan, source, destination, asked, View.KERNEL, None)
        peer = source.identity if asked.peer is None else asked.peer
        if destination.strange and self._mode(destination, asked) is MtlsMode.DISABLE:
            peer = ""
        if not received.denies:
            owner = source.owner
            if owner not in ("", peer):  # the proxy sees somebody else there than the kernel
                received = self._ingress(source, destination, asked) or received
            elif plan.reads:
                plan = chain.proxied.get(number) or self._plan(chain, asked, View.PROXY)
                received = plan.certain or self._walk(plan, source, destination, asked, View.PROXY, peer)
            else:
                received = received.proxied
        authentication = ACCEPTED if peer else self._plaintext(destination, asked)
        if not destination.authorized:
            return sent, received, authentication, UNJUDGED
        return sent, received, authentication, self._authorize(source, destination, asked, peer)

    def _walk(
        self, plan: Plan, source: Party, destination: Party, asked: Asked, view: View, peer: str | None
    ) -> Outcome:
        here, there = source.sets, destination.sets
        steps, at = plan.steps, 0
        logged: list[str] = []
        while True:
            src, dst, extra, outcome, further = steps[at]
            at += 1
            if src is not None:
                if src >= 0:
                    if src not in here:
                        continue
                elif not self._holds(src, source):
                    continue
            if dst is not None:
                if dst >= 0:
                    if dst not in there:
                        continue
                elif not self._holds(dst, destination):
                    continue
            if extra is not None and not self._extra(extra, source, destination, asked, view, peer):
                continue
            if outcome.final:
                return outcome.with_logged(logged) if logged else outcome
            if outcome.action is Action.PASS:
                at = further
            else:
                logged.append(outcome.rule)

    def _holds(self, condition: int, party: Party) -> bool:
        held = party.held.get(condition)
        return self._places.holds(condition, party) if held is None else held

    def _extra(
        self, extra: Extra, source: Party, destination: Party, asked: Asked, view: View, peer: str | None
    ) -> bool:
        if extra.asks is not None:
            post = Post.PROXY if view is View.PROXY else Post.KERNEL
            flow = _flow(source, destination, asked)
            seen = clauses.View(self.world, flow, post, peer, view is not View.BLIND)
            return clauses.first_failure(extra.asks, seen) is None
        if extra.named:
            entry = (canonical(destination.address), asked.protocol, asked.port)
            found = self._named.get(entry, ())
            if not any(name in found for name in extra.named):
                return False
        if extra.request is None:
            return True
        if asked.request is None:
            return False  # not HTTP
        held = asked.requests.get(extra.http)
        if held is None:
            held = clauses.http_failure(extra.request, asked.request) is None
            asked.requests[extra.http] = held
        return held

    def _mode(self, destination: Party, asked: Asked) -> MtlsMode | None:
        return None if destination.program is None else mtls_mode(destination.program, asked.port)

    def _plaintext(self, destination: Party, asked: Asked) -> Outcome:
        """The authentication layer of a peer that proves nothing."""
        program = destination.program
        if program is None or mtls_mode(program, asked.port) is not MtlsMode.STRICT:
            return ACCEPTED
        known = program.authentication
        return self._outcome(AUTHENTICATION, Action.DENY, known.port_ids.get(asked.port, known.id))

    def _authorize(self, source: Party, destination: Party, asked: Asked, peer: str) -> Outcome:
        if destination.program is None:
            return UNJUDGED
        flow = _flow(source, destination, asked)
        found = authorize.authorize(self.world, destination.program, flow, peer)
        told = self._outcome(found.layer, found.verdict, found.rule)
        return told.with_logged(found.logged) if found.logged else told

    def _outcome(self, layer: str, action: Action, rule: str) -> Outcome:
        key = (layer, action, rule)
        found = self._judged.get(key)
        if found is None:
            found = self._judged[key] = Outcome(layer, action, rule, Post.PROXY)
        return found

    def _ingress(self, source: Party, destination: Party, asked: Asked) -> Outcome | None:
        """The definition's answer for the ingress layer."""
        if destination.program is None:
            return None
        flow = _flow(source, destination, asked)
        found = network_layer(self.world, flow, destination.program, Direction.INGRESS, Post.BOTH)
        return Outcome(found.layer, found.verdict, found.rule, found.post, found.logged)

    def _plan(self, chain: Chain, asked: Asked, view: View) -> Plan:
        if self._plans >= MAX_PLANS:
            self._forget_plans()
        self._plans += 1
        return chain.plan(asked, view)

    def _forget_plans(self) -> None:
        self._plans = 0
        for chain in self._chains.values():
            if chain is not None:
                chain.forget()
        for parts in self._parts.values():
            for part in parts:
                part.forget()

    def _party(self, endpoint: str, address: str) -> Party:
        program = self.world.endpoints.get(endpoint) if endpoint else self.world.endpoint(address)
        place = Place(address, self._places.sets(address), self._places.owner(address))
        if not endpoint:
            identity = self.world.identity(address)
        else:
            identity = "" if program is None or program.mesh is Mesh.NONE else program.identity
        if program is None:
            return Party(endpoint, place, None, identity, odd=False)
        egress, ingress = self._chain(program, Direction.EGRESS), self._chain(program, Direction.INGRESS)
        odd = egress is None or ingress is None or program.node in self.world.guards
        found = Party(endpoint, place, program, identity, odd=odd)
        found.egress, found.ingress = egress, ingress
        return found

    def _chain(self, endpoint: EndpointProgram, direction: Direction) -> Chain | None:
        """The chain of a program; None for a host endpoint's, and when something is missing."""
        if endpoint.host:
            return None
        tiers = endpoint.ingress if direction is Direction.INGRESS else endpoint.egress
        key = (direction, tiers, endpoint.profiles, endpoint.no_profile_id)
        if key not in self._chains:
            self._chains[key] = self._compiled(*key)
        return self._chains[key]

    def _compiled(
        self, direction: Direction, tiers: tuple[Tier, ...], profiles: tuple[str, ...], no_profile: str
    ) -> Chain | None:
        policies = self.world.policies
        if not all(name in policies for name in (*profiles, *(n for tier in tiers for n in tier.policies))):
            return None
        groups: list[Group] = []
        layer = str(direction)
        for tier in tiers:
            enforced = [name for name in tier.policies if counts(policies[name], NORMAL, False)]
            if enforced:
                parts = [part for name in enforced for part in self._rules(name, direction)]
                groups.append((parts, _kernel(layer, tier.default_action, tier.default_id)))
        groups += [(self._rules(name, direction), None) for name in profiles]
        groups.append(([], _kernel(layer, Action.DENY, no_profile)))
        return Chain(groups)

    def _rules(self, policy: str, direction: Direction) -> list[Part]:
        key = (policy, direction)
        found = self._parts.get(key)
        if found is None:
            rules = rules_of(self.world.policies[policy], direction)
            found = self._parts[key] = [self._part(rule, direction) for rule in rules]
        return found

    def _part(self, rule: Rule, direction: Direction) -> Part:
        number = -1 if rule.http is None else self._clauses.setdefault(rule.http, len(self._clauses))
        outcome = _kernel(str(direction), rule.action, rule.id)
        return Part(rule, outcome, self._places, number, self.world)


def _kernel(layer: str, action: Action, rule: str) -> Outcome:
    """What the kernel says, and the proxy would say in its place."""
    found = Outcome(layer, action, rule, Post.KERNEL)
    found.proxied = Outcome(layer, action, rule, Post.PROXY)
    return found


def _flow(source: Party, destination: Party, asked: Asked) -> Flow:
    return asked.flow(source.endpoint, source.address, destination.endpoint, destination.address)
