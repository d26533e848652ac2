"""What must be true of every verdict, in random worlds of all dialects."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given
from tests.support.judged import flow_in, judged, loaded, quick
from tests.support.worlds import Json, WorldMaker, pod_names, worlds

from tsujiban.cli.answers import FastAnswers
from tsujiban.cli.flowline import FlowLine
from tsujiban.policy.bulk import BulkEvaluator
from tsujiban.policy.bulk.lines import line_of
from tsujiban.policy.explain import explain
from tsujiban.policy.flow import Flow, Post
from tsujiban.policy.offline import End, OfflineWorld
from tsujiban.policy.program import Action

QUICK = quick(60)


def world_of(raws: list[Json], *, strict: bool = False) -> OfflineWorld:
    return OfflineWorld(loaded(raws), strict=strict)


def check_world(maker: WorldMaker, flows: int) -> None:
    raws = maker.objects()
    strict = maker.chance(0.5)
    world = world_of(raws, strict=strict)
    bulk, answers = BulkEvaluator(world.world), FastAnswers(world.world, world.end)
    shuffled = [*raws]
    maker.random.shuffle(shuffled)
    other = world_of(shuffled, strict=strict)
    names = pod_names(raws)
    for _ in range(flows):
        line = maker.flow(names)
        flow = flow_in(world, line)
        verdict = world.evaluate(flow)
        assert bulk(flow) == verdict
        assert answers.line(msgspec.convert(line, FlowLine)) == line_of(verdict)
        assert other.evaluate(flow) == verdict, "the order of objects does not matter"
        check_verdict(world, world.end(line["src"]), world.end(line["dst"]), flow)


def check_verdict(world: OfflineWorld, source: End, destination: End, flow: Flow) -> None:
    verdict = world.evaluate(flow)
    kernel, proxy = world.evaluate(flow, Post.KERNEL), world.evaluate(flow, Post.PROXY)
    allowed = verdict.verdict is Action.ALLOW
    assert allowed == (kernel.verdict is Action.ALLOW and proxy.verdict is Action.ALLOW)
    assert all(layer.rule for layer in verdict.layers if layer.verdict is Action.DENY), "a denial has a name"
    assert bool(verdict.decided_by) or allowed
    clauses = {
        name: getattr(flow, name)
        for name in ("protocol", "source_port", "icmp_type", "icmp_code", "http", "peer", "sni")
    }
    if flow.source_endpoint != flow.destination_endpoint or not flow.source_endpoint:
        told = explain(world, source, destination, port=flow.port, clauses=clauses)
        assert told.verdict == str(verdict.verdict)
        for layer in told.layers:
            if layer.tiers and layer.layer in ("ingress", "egress"):
                last = layer.tiers[-1]
                assert (last.outcome, last.rule) == (layer.verdict, layer.rule), (
                    "the story ends as the verdict"
                )


@QUICK
@given(worlds())
def test_verdicts_of_random_worlds(maker: WorldMaker) -> None:
    check_world(maker, flows=8)


@pytest.mark.timeout(7200)
def test_many_worlds() -> None:
    for seed in range(judged(150)):
        check_world(WorldMaker(Random(seed), size=3), flows=30)
