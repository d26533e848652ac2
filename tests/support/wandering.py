"""Objects as changes, and ways that lead to them: what comes late, changes, goes, and comes again."""

from __future__ import annotations

from random import Random

from tests.support.judged import loaded
from tests.support.worlds import Json

from tsujiban.policy.graph import Change, key_of


def changes_of(objects: list[Json]) -> list[Change]:
    """Each object as it comes."""
    return [(key_of(one.object), one) for one in loaded(objects)]


def wandering(random: Random, final: list[Change], detour: list[Change]) -> list[list[Change]]:
    """Batches that end in `final`: objects come late, change on the way, go and come again."""
    keys = {key for key, _ in final}
    steps: list[Change] = []
    for key, value in detour:
        steps.append((key, value))
        if key not in keys:
            steps.append((key, None))
    settled = [*final]
    random.shuffle(settled)
    early = random.sample(final, len(final) // 2)
    steps = early + [step for step in steps if random.random() < 0.8]
    gone = {key for key, value in steps if value is not None and key not in keys}
    steps += [(key, None) for key in sorted(gone)]
    steps += [change for change in early if random.random() < 0.3]
    steps += settled
    batches: list[list[Change]] = []
    while steps:
        size = random.randint(1, 6)
        batches.append(steps[:size])
        steps = steps[size:]
    return batches
