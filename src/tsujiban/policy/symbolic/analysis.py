"""All that may flow between any two ends of a world, exactly.

Holds the parties and, for each of them, who may reach it with what (ingress, mutual TLS,
authorization) and whom it may reach (egress). The traffic between two parties is what both allow.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from tsujiban.policy.authorize import Subject, condition_matches, source_matches
from tsujiban.policy.evaluate import rules_of
from tsujiban.policy.flow import Flow
from tsujiban.policy.program import (
    AuthzAction,
    AuthzCondition,
    AuthzSource,
    Direction,
    EndpointProgram,
    Mesh,
    MtlsMode,
    NodeState,
)
from tsujiban.policy.symbolic.crossed import Crossed
from tsujiban.policy.symbolic.distinctions import Distinctions
from tsujiban.policy.symbolic.guard import Guard
from tsujiban.policy.symbolic.matching import Matching, Sight, SourcePorts
from tsujiban.policy.symbolic.parties import Parties, Party, Spot
from tsujiban.policy.symbolic.requests import Clauses, Vocabulary
from tsujiban.policy.symbolic.traffic import NOTHING, Axis, Traffic, bits_at, intersect, spread, subtract
from tsujiban.policy.symbolic.walk import Answer, Walk, cut, join, meet
from tsujiban.policy.world import World
from tsujiban.resources.protocols import TCP


class Analysis:
    """One world, analysed. `beside` are worlds, itself among them, whose distinctions are made as
    well, so that answers about them can be compared part by part; all must be given the same."""

    def __init__(
        self, world: World, spots: Iterable[Spot], *, beside: Sequence[tuple[World, Sequence[Spot]]] = ()
    ) -> None:
        self.world = world
        spots = list(spots)
        together = beside or [(world, spots)]
        distinctions = Distinctions()
        for one, held in together:
            distinctions.add(one.state, {spot.address for spot in held})
            distinctions.open_ports(one.failsafes)
        self.distinctions = distinctions
        self.axis = Axis(distinctions.protocols)
        self.source_ports = SourcePorts(distinctions.source_ports)
        self._vocabularies: dict[tuple[Clauses, Clauses], Vocabulary] = {}
        self._vocabulary: dict[int, Vocabulary] = {}
        self._clauses: dict[str, Clauses] = {}
        known: dict[Hashable, Clauses] = {}
        states = [one.state for one, _ in together]
        for name in world.endpoints:
            self._clauses[name] = _clauses(states, name, known)
        marks: dict[str, Hashable] = {}
        for name, endpoint in world.endpoints.items():
            guarded = endpoint.node if endpoint.node in world.guards else ""
            open_ports = world.failsafes.of(endpoint.node) if endpoint.host else None
            marks[name] = _mark(endpoint, self._clauses[name]), guarded, open_ports
        self.parties = Parties(world, distinctions, spots, marks, _identities(states))
        self.matching = Matching(world, self.axis, self.parties, self.source_ports)
        self._crossed = Crossed(self.matching)
        self._egress = [self._row(self._leaving(party)) for party in self.parties.all]
        self._ingress = [self._row(self._entering(party)) for party in self.parties.all]

    def vocabulary(self, party: Party) -> Vocabulary:
        """The classes of requests at a destination."""
        found = self._vocabulary.get(party.index)
        if found is None:
            name = "" if party.endpoint is None else party.endpoint.id
            key = self._clauses.get(name, Clauses()), _clauses_of(self.world.state, name)
            found = self._vocabularies.get(key)
            if found is None:
                found = self._vocabularies[key] = Vocabulary(*key)
            self._vocabulary[party.index] = found
        return found

    def all(self, destination: Party) -> Traffic:
        """Everything that could be sent to a party."""
        return self.axis.all(self.matching.full(len(self.vocabulary(destination).atoms)))

    def between(self, source: Party, destination: Party) -> Traffic:
        """What may flow between different ends of two parties; an end may always reach itself."""
        out, into = self.halves(source, destination)
        if not out or not into:
            return NOTHING
        return intersect(spread(out, len(self.vocabulary(destination).atoms)), into)

    def halves(self, source: Party, destination: Party) -> tuple[Traffic, Traffic]:
        """What the source's side lets out, without classes of requests; what the other lets in."""
        return self._egress[source.index][destination.index], self._ingress[destination.index][source.index]

    def allows(self, flow: Flow) -> bool:
        """Whether one flow, whose source is honest, is in the set."""
        source = self.parties.find(flow.source_endpoint, flow.source)
        destination = self.parties.find(flow.destination_endpoint, flow.destination)
        if source is None or destination is None:
            return source is destination
        if source.endpoint is not None and self._same(flow):
            return True
        vocabulary = self.vocabulary(destination)
        point = self.axis.point(flow.protocol, flow.port, flow.icmp_type, flow.icmp_code)
        request = vocabulary.find(flow.http, flow.sni) if flow.protocol == TCP else 0
        at = self.source_ports.at(flow.source_port or 0) * len(vocabulary.atoms) + request
        return bool(bits_at(self.between(source, destination), point) >> at & 1)

    def _same(self, flow: Flow) -> bool:
        return _holder(self.world, flow.source_endpoint, flow.source) == _holder(
            self.world, flow.destination_endpoint, flow.destination
        )

    # ------------------------------------------------------------------ the two halves

    def _row(self, answer: Answer) -> list[Traffic]:
        found: list[Traffic] = [NOTHING] * len(self.parties.all)
        for peers, traffic in answer:
            while peers:
                bit = peers & -peers
                peers ^= bit
                found[bit.bit_length() - 1] = traffic
        return found

    def _leaving(self, party: Party) -> Answer:
        answer = self._failsafe(
            party, Direction.EGRESS, Walk(self.matching, party, Direction.EGRESS).answer()
        )
        return self._crossed.leaving(party, answer) if self.world.guards else answer

    def _failsafe(self, party: Party, direction: Direction, answer: Answer, width: int = 1) -> Answer:
        """An answer, and what the failsafe ports of a host endpoint let pass whatever it is."""
        endpoint = party.endpoint
        if endpoint is None or not endpoint.host:
            return answer
        for protocol, port, net in self.world.failsafes.of(endpoint.node).of(direction):
            peers = self.matching.meeting(party)
            if net:
                peers &= self.matching.within(net)
            at = self.axis.row(protocol)[0] + port
            answer = join(answer, [(peers, ((at, at, self.matching.full(width)),))] if peers else [])
        return answer

    def _entering(self, party: Party) -> Answer:
        answer = self._admitted(party)
        if not self.world.guards:
            return answer
        return self._crossed.entering(party, answer, self.vocabulary(party))

    def _admitted(self, party: Party) -> Answer:
        """Who may reach a party with what, by its own program."""
        vocabulary = self.vocabulary(party)
        endpoint = party.endpoint
        visible = endpoint is not None and endpoint.mesh is not Mesh.NONE

        def walk(sight: Sight) -> Answer:
            return Walk(self.matching, party, Direction.INGRESS, sight, vocabulary, visible=visible).answer()

        kernel = self._failsafe(party, Direction.INGRESS, walk(Sight.KERNEL), len(vocabulary.atoms))
        if endpoint is None or not visible:
            return kernel
        guard = Guard(self.matching, party, endpoint, vocabulary)
        answer = cut(kernel, subtract(self.all(party), guard.tcp))
        for sight, modes in (
            (Sight.HONEST, (MtlsMode.STRICT, MtlsMode.PERMISSIVE)),
            (Sight.PLAIN, (MtlsMode.DISABLE,)),
        ):
            ports = guard.ports(*modes)
            if not ports:
                continue
            told = cut(kernel, ports)
            if self._sees_more(endpoint, sight):
                told = meet(told, walk(sight))
            told = meet(told, guard.authentication(sight))
            if endpoint.authorization or endpoint.jwt:
                told = meet(told, guard.authorization(sight))
            answer = join(answer, told)
        return answer

    def _sees_more(self, endpoint: EndpointProgram, sight: Sight) -> bool:
        """Whether the proxy could answer otherwise than the kernel: it reads HTTP, or not everyone
        is in the same sets once identities count."""
        policies = self.world.policies
        names = {name for tier in endpoint.ingress for name in tier.policies} | set(endpoint.profiles)
        rules = [
            r for n in names if (p := policies.get(n)) is not None for r in rules_of(p, Direction.INGRESS)
        ]
        if any(rule.http is not None for rule in rules):
            return True
        return any(
            self.matching.members(name, sight) != self.matching.members(name, Sight.KERNEL)
            for rule in rules
            for name in (*rule.src.sets, *rule.src.not_sets)
        )


def _holder(world: World, endpoint: str, address: str) -> str:
    found = world.endpoints.get(endpoint) if endpoint else world.endpoint(address)
    return found.id if found is not None else ""


def _mark(endpoint: EndpointProgram, clauses: Clauses) -> Hashable:
    """What makes two endpoints different besides their addresses and memberships."""
    authentication = endpoint.authentication
    return (
        endpoint.host,
        endpoint.mesh is Mesh.NONE,
        endpoint.ingress,
        endpoint.egress,
        endpoint.profiles,
        endpoint.authorization,
        endpoint.jwt,
        authentication.mode,
        frozenset(authentication.ports.items()),
        clauses,
    )


def _clauses(states: Iterable[NodeState], name: str, known: dict[Hashable, Clauses]) -> Clauses:
    """What the policies of an endpoint ask of requests, in all of the states together."""
    parts = []
    for place, state in enumerate(states):
        endpoint = state.endpoints.get(name)
        if endpoint is not None and endpoint.mesh is not Mesh.NONE:
            parts.append((place, endpoint.ingress, endpoint.profiles, endpoint.authorization, endpoint.jwt))
    key = tuple(parts)
    if key not in known:
        known[key] = _joined([_clauses_of(state, name) for state in states])
    return known[key]


def _clauses_of(state: NodeState, name: str) -> Clauses:
    endpoint = state.endpoints.get(name)
    if endpoint is None or endpoint.mesh is Mesh.NONE:
        return Clauses()
    names = (*(n for tier in endpoint.ingress for n in tier.policies), *endpoint.profiles)
    policies = [p for n in names if (p := state.policies.get(n)) is not None and not p.staged]
    known = map(state.authorizations.get, endpoint.authorization)
    programs = [program for program in known if program is not None and not program.dry_run]
    return Clauses(
        https=tuple(rule.http for policy in policies for rule in policy.ingress if rule.http is not None),
        rules=tuple(
            rule for program in programs if program.action is not AuthzAction.AUDIT for rule in program.rules
        ),
        jwt=endpoint.jwt,
        guarded=any(one.revokes is None for one in programs),
    )


def _joined(parts: Iterable[Clauses]) -> Clauses:
    """Clauses of several states: of all, the distinctions; whose they are no longer matters."""
    found = Clauses()
    for part in parts:
        found = Clauses(
            https=tuple(dict.fromkeys((*found.https, *part.https))),
            rules=tuple(dict.fromkeys((*found.rules, *part.rules))),
            jwt=tuple(dict.fromkeys((*found.jwt, *part.jwt))),
            guarded=found.guarded or part.guarded,
        )
    return found


def _identities(states: Sequence[NodeState]) -> dict[str, Hashable]:
    """What tells identities apart: the answers of every clause about them, in any of the states."""
    sources: set[AuthzSource] = set()
    conditions: set[AuthzCondition] = set()
    for program in (one for state in states for one in state.authorizations.values()):
        for rule in program.rules:
            for source in rule.sources:
                sources.add(
                    AuthzSource(
                        principals=source.principals,
                        not_principals=source.not_principals,
                        trust_domains=source.trust_domains,
                        not_trust_domains=source.not_trust_domains,
                        namespaces=source.namespaces,
                        not_namespaces=source.not_namespaces,
                    )
                )
            conditions.update(
                c for c in rule.conditions if c.key.startswith("source.") and not c.key.endswith(".ip")
            )
    sources.discard(AuthzSource())
    nobody, flow = EndpointProgram(id="", node=""), Flow(source="@", destination="@")
    found: dict[str, Hashable] = {}
    known = {one.identity for state in states for one in state.endpoints.values()}
    for identity in known if sources or conditions else ():
        subject = Subject(nobody, flow, identity)
        found[identity] = (
            bool(identity),
            tuple(source_matches(s, subject, closing) for s in sources for closing in (True, False)),
            tuple(condition_matches(c, subject, closing) for c in conditions for closing in (True, False)),
        )
    return found
