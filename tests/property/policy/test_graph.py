"""The incremental graph ends where computing from scratch ends, whatever the way there."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from tests.support.judged import judged, quick
from tests.support.wandering import changes_of, wandering
from tests.support.worlds import NODES, WorldMaker, worlds

from tsujiban.policy.graph import PolicyGraph
from tsujiban.policy.program import NodeState

QUICK = quick(60)


def check_world(maker: WorldMaker, *, offline: bool) -> None:
    final = changes_of(maker.objects())
    scratch = PolicyGraph(offline=offline)
    scratch.apply(final)
    wandered = PolicyGraph(offline=offline)
    nodes = {node: NodeState() for node in NODES}
    for revision, batch in enumerate(wandering(maker.random, final, changes_of(maker.objects())), 1):
        told = wandered.apply(batch)
        heard = [node for node in nodes if maker.random.random() < 0.7]  # others hear of it later
        for node in heard:
            state = nodes[node]
            delta = wandered.delta(node, revision)
            if delta is not None:
                state.apply(delta)
        if not told:
            assert all(wandered.delta(node, revision) is None for node in heard)
    for node, state in nodes.items():
        delta = wandered.delta(node, 1_000_000)
        if delta is not None:
            state.apply(delta)
        wanted = NodeState()
        wanted.apply(scratch.snapshot(node, state.revision))
        assert state == wanted
        assert wandered.delta(node, 1_000_001) is None
    assert wandered.state() == scratch.state()
    assert not wandered.apply(final)


@QUICK
@given(worlds())
def test_any_way_leads_to_the_same_state(maker: WorldMaker) -> None:
    check_world(maker, offline=False)


@pytest.mark.timeout(7200)
def test_many_worlds() -> None:
    for seed in range(judged(60)):
        check_world(WorldMaker(Random(seed), size=4), offline=bool(seed % 2))


def test_removing_everything_leaves_nothing() -> None:
    for seed in range(40):
        maker = WorldMaker(Random(seed))
        changes = changes_of(maker.objects())
        graph = PolicyGraph()
        graph.apply(changes)
        for node in NODES:
            graph.snapshot(node, 1)
        backwards = [(key, None) for key, _ in changes]
        maker.random.shuffle(backwards)
        graph.apply(backwards)
        assert graph.state() == NodeState()
        for node in NODES:
            state = NodeState()
            state.apply(graph.snapshot(node, 2))
            assert state == NodeState(revision=2)
