"""Random manifests of every dialect, read, compiled, sent to a node and enforced by its real kernel.

What the kernel decides of real packets is compared with the evaluator, which judges the whole cluster's
state, not the node's: so the way there (what a node is told, by which differences) is judged too. Objects
come, change, go and come again in random order; on the way and at the end everything is compared.

Worlds are made from seeds: TSUJIBAN_SOAK is how many (default 8), TSUJIBAN_SOAK_SEED the first of them
(default 0, so that a run is like the one before). What differs is made as small as it can be.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from random import Random

import pytest
import yaml
from tests.support import soaking
from tests.support.kernelbed import Bed
from tests.support.kernelflows import Attempt, Difference, Judge
from tests.support.kernelworlds import (
    HERE,
    KernelWorldMaker,
    build,
    ends_of,
    from_scratch,
    loaded,
    smallest,
    told,
)
from tests.support.wandering import wandering
from tests.support.worlds import Json

from tsujiban.kernel import runs
from tsujiban.policy.evaluate import evaluate
from tsujiban.policy.flow import Flow, Layer, Post
from tsujiban.policy.graph import PolicyGraph
from tsujiban.policy.program import NodeState
from tsujiban.policy.world import World

pytestmark = [pytest.mark.system, pytest.mark.timeout(soaking.SECONDS)]

WORLDS = soaking.worlds(8)
FIRST = int(os.environ.get("TSUJIBAN_SOAK_SEED", "0"))
FLOWS = 100 if soaking.REPORT else 60


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    bed = Bed(())
    try:
        build(bed)
        made = Judge(bed)
        yield made
        made.close()
    finally:
        bed.close()


def differences(judge: Judge, cluster: NodeState, node: NodeState, tried: list[Attempt]) -> list[Difference]:
    """Packets that the kernel judges otherwise than the evaluator does with the whole cluster before it."""
    world = World(cluster)

    def layers(flow: Flow) -> list[Layer]:
        found = evaluate(world, flow, Post.KERNEL).layers
        return [layer for layer in found if cluster.endpoints[layer.endpoint].node == HERE]

    return judge.differences(node, tried, layers)


def small(judge: Judge, objects: list[Json], found: Difference, reject: bool) -> str:
    """The smallest world that shows the difference, as text."""

    def fails(some: list[Json]) -> bool:
        cluster, node = from_scratch(some)
        if not {found.attempt.source, found.attempt.to} <= {address for _, address in ends_of(cluster)}:
            return False
        judge.settle(node, reject=reject)
        return bool(differences(judge, cluster, node, [found.attempt]))

    if not fails(objects):
        return "(not when the objects come all at once)"
    return yaml.safe_dump_all(smallest(objects, fails))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + WORLDS))
def test_the_kernel_says_what_the_evaluator_says_of_manifests(
    judge: Judge, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = KernelWorldMaker(Random(seed))
    random = maker.random
    least = random.choice((1, 2, 8))
    monkeypatch.setattr(runs, "LEAST_RULES", least)
    monkeypatch.setattr(runs, "LEAST_POLICIES", least)
    reject = maker.chance(0.3)
    objects = maker.objects()
    batches = wandering(random, loaded(objects), loaded(maker.objects()))
    stops = {len(batches) // 2, len(batches)}
    graph, node = PolicyGraph(), NodeState()
    with soaking.world("kernel") as compared:
        for number, batch in enumerate(batches, 1):
            graph.apply(batch)
            told(node, graph.delta(HERE, number))
            if number not in stops:
                judge.post.sync(node, number)
                continue
            judge.settle(node, reject=reject)
            cluster = graph.state()
            tried = maker.attempts(cluster, FLOWS)
            found = differences(judge, cluster, node, tried)
            assert not found, (seed, found[:5], small(judge, objects, found[0], reject))
            compared.flows += len(tried)
