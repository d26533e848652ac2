"""Flows that two worlds of the same ends may judge differently, found on sets of traffic.

For changes of AuthorizationPolicies: which requests they tell apart, and of whom, is nothing that
samples would find. Every flow is to be judged in both worlds before it is believed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from tsujiban.policy.flow import Flow
from tsujiban.policy.offline import OfflineWorld
from tsujiban.policy.symbolic.analysis import Analysis
from tsujiban.policy.symbolic.inhabitants import spots_of
from tsujiban.policy.symbolic.traffic import Traffic, spread, subtract, union
from tsujiban.policy.symbolic.witnesses import apart, witnesses
from tsujiban.policy.world import World


def differing(
    offline: OfflineWorld, endpoints: Collection[str], before: World, after: World
) -> Iterator[Flow]:
    """Flows into some endpoints, at least one for each pair of ends between which anything differs.

    `offline` names the ends of both worlds. Raises TooManyDistinctions (a ValueError).
    """
    spots = spots_of(offline)
    beside = [(before, spots), (after, spots)]
    old, new = (Analysis(world, spots, beside=beside) for world in (before, after))
    pairs = list(zip(old.parties.all, new.parties.all, strict=True))
    for destination in pairs:
        if destination[0].endpoint is None or not any(s.endpoint in endpoints for s in destination[0].spots):
            continue
        sides = [a.vocabulary(party) for a, party in zip((old, new), destination, strict=True)]
        wide = max(sides, key=lambda vocabulary: len(vocabulary.atoms))
        for source in pairs:
            if not source[0].meets(destination[0]):
                continue
            told = [
                _of_width(analysis.between(here, there), len(side.atoms), len(wide.atoms))
                for analysis, here, there, side in zip((old, new), source, destination, sides, strict=True)
            ]
            traffic = union(subtract(told[0], told[1]), subtract(told[1], told[0]))
            yield from witnesses(old, traffic, wide, *apart(source[0], destination[0]))


def _of_width(traffic: Traffic, width: int, wanted: int) -> Traffic:
    """In as many classes of requests; where a side tells none apart, its one class is all."""
    return spread(traffic, wanted) if width == 1 else traffic
