"""The mesh's layers at one destination, for all its sources at once: mutual TLS and authorization.

Follows `policy.authorize`: CUSTOM and DENY take away, then an ALLOW policy, where there is one,
must match. Each clause is asked with the definition's own function, once for each class.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from tsujiban.policy import authorize
from tsujiban.policy.flow import Flow
from tsujiban.policy.program import (
    AuthzAction,
    AuthzCondition,
    AuthzProgram,
    AuthzRule,
    AuthzSource,
    EndpointProgram,
    MtlsMode,
)
from tsujiban.policy.symbolic.matching import Matching, Sight
from tsujiban.policy.symbolic.parties import Party
from tsujiban.policy.symbolic.requests import Vocabulary
from tsujiban.policy.symbolic.traffic import (
    NOTHING,
    PORTS,
    Traffic,
    canonical,
    intersect,
    subtract,
    union,
)
from tsujiban.policy.symbolic.walk import Answer
from tsujiban.resources.protocols import TCP

REQUEST_KEYS = ("request.", "connection.sni")
ADDRESS_KEYS = ("source.ip", "remote.ip")


class Guard:
    """The layers behind the network policy of one destination, for TCP into its proxy."""

    def __init__(
        self, matching: Matching, own: Party, endpoint: EndpointProgram, vocabulary: Vocabulary
    ) -> None:
        self._matching, self._own, self._endpoint, self._vocabulary = matching, own, endpoint, vocabulary
        self._width = len(vocabulary.atoms)
        self._first, _ = matching.axis.row(TCP)
        self._nobody = EndpointProgram(id="", node="")
        self.tcp = matching.axis.of((TCP,), matching.full(self._width))

    def ports(self, *modes: MtlsMode) -> Traffic:
        """All TCP to the ports where mutual TLS is in one of the modes."""
        authentication = self._endpoint.authentication
        by_port = authentication.ports
        every = self.tcp if authentication.mode in modes else NOTHING
        full = self._matching.full(self._width)
        for port, mode in by_port.items():
            here: Traffic = (
                ((self._first + port, self._first + port, full),) if 0 <= port < PORTS else NOTHING
            )
            every = union(every, here) if mode in modes else subtract(every, here)
        return every

    def authentication(self, sight: Sight) -> Answer:
        """Who is let in: plaintext is refused in mode STRICT."""
        everyone = self._matching.everyone
        if sight is Sight.PLAIN:
            return [(everyone, self.ports(MtlsMode.DISABLE))]
        proven = sum(p.bit for p in self._matching.parties.all if p.identity)
        known = self.ports(MtlsMode.STRICT, MtlsMode.PERMISSIVE)
        return [(proven, known), (everyone & ~proven, self.ports(MtlsMode.PERMISSIVE))]

    def authorization(self, sight: Sight) -> Answer:
        """What the AuthorizationPolicies allow."""
        everyone = self._matching.everyone
        endpoint = self._endpoint
        found = [self._matching.world.authorizations.get(name) for name in endpoint.authorization]
        if None in found:  # a missing policy: fail closed
            return []
        programs = [p for p in found if p is not None and not p.dry_run]
        matching = self._matching
        open_bits = self._vocabulary.all & ~self._vocabulary.refused()
        left = matching.axis.of((TCP,), matching.requests(open_bits, self._width))
        if not programs:
            return [(everyone, left)]
        answer: Answer = [(everyone, left)]
        for peers, denied in self._matched(programs, (AuthzAction.CUSTOM, AuthzAction.DENY), sight):
            answer = [
                part
                for group, traffic in answer
                for part in (
                    (group & peers, subtract(traffic, denied)),
                    (group & ~peers, traffic),
                )
                if part[0] and part[1]
            ]
        if not any(program.action is AuthzAction.ALLOW for program in programs):
            return answer
        allowed: list[tuple[int, Traffic]] = [(everyone, NOTHING)]
        for peers, traffic in self._matched(programs, (AuthzAction.ALLOW,), sight):
            allowed = [
                part
                for group, known in allowed
                for part in ((group & peers, union(known, traffic)), (group & ~peers, known))
                if part[0]
            ]
        return [
            (both, traffic)
            for group, one in answer
            for peers, other in allowed
            if (both := group & peers) and (traffic := intersect(one, other))
        ]

    # ------------------------------------------------------------------ rules

    def _matched(
        self, programs: Iterable[AuthzProgram], actions: tuple[AuthzAction, ...], sight: Sight
    ) -> Answer:
        """What the rules of some actions match; parties may come several times."""
        found: dict[int, Traffic] = {}
        for program in programs:
            if program.action in actions:
                for rule in program.rules:
                    for peers, traffic in self._rule(rule, program.action is not AuthzAction.ALLOW, sight):
                        found[peers] = union(found.get(peers, NOTHING), traffic)
        return list(found.items())

    def _rule(self, rule: AuthzRule, closing: bool, sight: Sight) -> Answer:
        peers = self._matching.everyone
        traffic = self._operations(rule, closing)
        if not closing and authorize.asks_request(rule):
            traffic = intersect(traffic, self._requests(self._vocabulary.http_classes))
        for condition in rule.conditions:
            traffic = intersect(traffic, self._condition(condition, closing))
            peers &= self._condition_peers(condition, closing, sight)
        if not peers or not traffic:
            return []
        if not rule.sources:
            return [(peers, traffic)]
        by_bits: dict[int, int] = defaultdict(int)
        for source in rule.sources:
            bits = self._vocabulary.source(source, closing)
            by_bits[bits] |= self._source_peers(source, closing, sight)
        return [
            (both, part)
            for bits, group in by_bits.items()
            if (both := group & peers) and (part := intersect(traffic, self._requests(bits)))
        ]

    def _requests(self, bits: int) -> Traffic:
        return self._matching.axis.of((TCP,), self._matching.requests(bits, self._width))

    def _operations(self, rule: AuthzRule, closing: bool) -> Traffic:
        if not rule.operations:
            return self.tcp
        found: Traffic = NOTHING
        for operation in rule.operations:
            full = self._matching.requests(self._vocabulary.operation(operation, closing), self._width)
            part = self._matching.axis.of((TCP,), full)
            if operation.ports:
                part = intersect(part, self._only(operation.ports))
            if operation.not_ports:
                part = subtract(part, self._only(operation.not_ports))
            found = union(found, part)
        return found

    def _only(self, ports: Iterable[int]) -> Traffic:
        full = self._matching.full(self._width)
        return canonical((self._first + p, self._first + p, full) for p in ports if 0 <= p < PORTS)

    def _condition(self, condition: AuthzCondition, closing: bool) -> Traffic:
        """The traffic that a condition leaves, whoever sends it."""
        if condition.key == "destination.port":
            return self._only(
                p
                for p in _ports_of(condition)
                if self._holds(condition, closing, Flow(source="@", destination="@", port=p))
            )
        if condition.key == "destination.ip":
            flow = Flow(source="@", destination=self._own.address)
            return self.tcp if self._holds(condition, closing, flow) else NOTHING
        if condition.key.startswith(REQUEST_KEYS):
            return self._requests(self._vocabulary.condition(condition, closing))
        return self.tcp

    def _holds(self, condition: AuthzCondition, closing: bool, flow: Flow, peer: str = "") -> bool:
        return authorize.condition_matches(condition, authorize.Subject(self._nobody, flow, peer), closing)

    def _condition_peers(self, condition: AuthzCondition, closing: bool, sight: Sight) -> int:
        """The sources that satisfy a condition on them."""
        key = condition.key
        if key in ("destination.port", "destination.ip") or key.startswith(REQUEST_KEYS):
            return self._matching.everyone
        return self._matching.asked(
            (condition, closing, sight),
            lambda party: self._holds(
                condition, closing, Flow(source=party.address, destination="@"), _peer(party, sight)
            ),
        )

    def _source_peers(self, source: AuthzSource, closing: bool, sight: Sight) -> int:
        bare = msgspec.structs.replace(source, request_principals=(), not_request_principals=())
        return self._matching.asked(
            (bare, closing, sight),
            lambda party: authorize.source_matches(
                bare,
                authorize.Subject(
                    self._nobody, Flow(source=party.address, destination="@"), _peer(party, sight)
                ),
                closing,
            ),
        )


def _peer(party: Party, sight: Sight) -> str:
    return party.identity if sight is Sight.HONEST else ""


def _ports_of(condition: AuthzCondition) -> Iterable[int]:
    """The ports that a condition on the destination port could hold for."""
    exact = [m.exact for m in condition.values]
    if exact and all(text is not None for text in exact):
        return sorted(
            {int(text) for text in exact if text is not None and text.isdecimal() and len(text) < 6}
        )
    return range(PORTS)
