"""The ordered program of one end, walked once for all its peers and all traffic.

`policy.evaluate.walk` follows one flow; this follows sets. Peers that the rules have treated
alike so far stay together, so there are as many regions as the program makes differences.
"""

from __future__ import annotations

from collections.abc import Iterable

from tsujiban.policy.evaluate import NORMAL, counts, rules_of, stages
from tsujiban.policy.forwarding import Crossing
from tsujiban.policy.program import Action, Direction, PolicyProgram
from tsujiban.policy.symbolic.matching import Matching, Piece, Sight
from tsujiban.policy.symbolic.parties import Party
from tsujiban.policy.symbolic.requests import Vocabulary
from tsujiban.policy.symbolic.traffic import NOTHING, Traffic, intersect, subtract, union

Answer = list[Piece]
"""Allowed traffic by peers; peers that are in no piece are allowed nothing."""

_Region = tuple[int, Traffic, Traffic, Traffic]  # peers; still to judge, passed on, allowed


class Walk:
    """Walks one end's programs in one direction, as one post sees it; or the program of a host
    endpoint (`crossing`) on the way of the end's packets in that direction."""

    def __init__(
        self,
        matching: Matching,
        own: Party,
        direction: Direction,
        sight: Sight = Sight.KERNEL,
        vocabulary: Vocabulary | None = None,
        *,
        visible: bool = False,
        crossing: Crossing | None = None,
    ) -> None:
        self._matching, self._own, self._direction = matching, own, direction
        self._sight, self._vocabulary, self._visible = sight, vocabulary, visible
        self._forwarded = crossing is not None
        self._endpoint, self._programs = crossing or (own.endpoint, direction)
        width = len(vocabulary.atoms) if vocabulary is not None else 1
        start = matching.axis.all(matching.full(width))
        peers = matching.meeting(own)
        self._regions: list[_Region] = [(peers, start, NOTHING, NOTHING)]

    def answer(self) -> Answer:
        """What the program allows."""
        endpoint, direction = self._endpoint, self._programs
        if endpoint is None:
            return [(peers, left) for peers, left, _, _ in self._regions]
        tiers = endpoint.ingress if direction is Direction.INGRESS else endpoint.egress
        policies = self._matching.world.policies
        for stage in stages(endpoint, direction):
            for tier in tiers:
                found = [policies.get(name) for name in tier.policies]
                if None in found:  # a missing policy: fail closed
                    return self._allowed()
                enforced = [p for p in found if p is not None and counts(p, stage, self._forwarded)]
                if enforced:
                    default = tier.default_action if stage == NORMAL else Action.PASS
                    self._take(enforced, default)
        if self._forwarded:
            return [
                (peers, both) for peers, left, _, allowed in self._regions if (both := union(left, allowed))
            ]
        for name in endpoint.profiles:
            profile = policies.get(name)
            if profile is None:
                return self._allowed()
            self._take([profile], Action.PASS)
        return self._allowed()

    def _allowed(self) -> Answer:
        return [(peers, allowed) for peers, _, _, allowed in self._regions if allowed]

    def _take(self, policies: Iterable[PolicyProgram], default: Action) -> None:
        for policy in policies:
            for rule in rules_of(policy, self._programs):
                if rule.action is Action.LOG:
                    continue
                pieces = self._matching.pieces(
                    rule, self._own, self._direction, self._sight, self._visible, self._vocabulary
                )
                for peers, traffic in pieces:
                    self._apply(peers, traffic, rule.action)
        merged: dict[tuple[Traffic, Traffic], int] = {}
        for peers, left, passed, allowed in self._regions:
            onward = union(passed, left) if default is Action.PASS else passed
            key = (onward, allowed)
            merged[key] = merged.get(key, 0) | peers
        self._regions = [(peers, left, NOTHING, allowed) for (left, allowed), peers in merged.items()]

    def _apply(self, wanted: int, traffic: Traffic, action: Action) -> None:
        found: list[_Region] = []
        for region in self._regions:
            peers, left, passed, allowed = region
            both = peers & wanted
            hit = intersect(left, traffic) if both and left else NOTHING
            if not hit:
                found.append(region)
                continue
            if peers != both:
                found.append((peers & ~both, left, passed, allowed))
            if action is Action.PASS:
                passed = union(passed, hit)
            elif action is Action.ALLOW:
                allowed = union(allowed, hit)
            found.append((both, subtract(left, hit), passed, allowed))
        self._regions = found


def meet(one: Answer, other: Answer) -> Answer:
    """What both answers allow."""
    return [
        (peers, traffic)
        for mine, left in one
        for theirs, right in other
        if (peers := mine & theirs) and (traffic := intersect(left, right))
    ]


def join(one: Answer, other: Answer) -> Answer:
    """What either answer allows."""
    found: Answer = []
    rest = list(one)
    for theirs, right in other:
        onward: Answer = []
        for mine, left in rest:
            both = mine & theirs
            if both:
                found.append((both, union(left, right)))
                theirs &= ~both
                mine &= ~both
            if mine:
                onward.append((mine, left))
        if theirs:
            found.append((theirs, right))
        rest = onward
    return found + rest


def among(answer: Answer, wanted: int) -> Answer:
    """An answer about some peers alone."""
    return [(both, traffic) for peers, traffic in answer if (both := peers & wanted)]


def cut(answer: Answer, traffic: Traffic) -> Answer:
    """An answer about some traffic alone."""
    return [(peers, both) for peers, own in answer if (both := intersect(own, traffic))]
