"""Random worlds as objects, their flow records as flows, and how many of them a run judges."""

from __future__ import annotations

import os

import msgspec
from hypothesis import HealthCheck, Phase, settings
from tests.support.worlds import Json

from tsujiban.cli.flowline import FlowLine, flow_of
from tsujiban.policy.flow import Flow
from tsujiban.policy.offline import OfflineWorld
from tsujiban.resources.load import LoadedObject, decode
from tsujiban.resources.registry import kind_for


def quick(examples: int) -> settings:
    """A short run. Failing worlds are not shrunk: that takes minutes."""
    return settings(
        max_examples=examples,
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def judged(short: int, *, part: int = 1) -> int:
    """How many worlds a test judges: `short`, or in a long run (`TSUJIBAN_WORLDS=20000`, `make worlds`)
    that many, or a `part`-th of it."""
    return max(short, int(os.environ.get("TSUJIBAN_WORLDS", "0")) // part)


def loaded(raws: list[Json]) -> list[LoadedObject]:
    """Objects as if they had been read."""
    return [LoadedObject(kind_for(raw["apiVersion"], raw["kind"]), decode(raw), raw) for raw in raws]


def flow_in(world: OfflineWorld, line: Json) -> Flow:
    """The flow that a record asks about."""
    asked = msgspec.convert(line, FlowLine)
    return flow_of(world, asked, world.end(asked.src), world.end(asked.dst))
