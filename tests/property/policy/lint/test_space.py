"""The space of an endpoint says of every class of traffic what the evaluator says of a flow in it,
and what lint calls vain can go, all of it at once, without changing any verdict."""

from __future__ import annotations

from random import Random

from hypothesis import given
from msgspec.structs import replace
from tests.support.judged import flow_in, loaded, quick
from tests.support.worlds import Json, WorldMaker, pod_names, worlds

from tsujiban.policy.clauses import View
from tsujiban.policy.evaluate import has_proxy, walk
from tsujiban.policy.flow import Post
from tsujiban.policy.lint.effect import Effects
from tsujiban.policy.lint.mesh import covered
from tsujiban.policy.lint.subject import Subject
from tsujiban.policy.program import Action, EndpointProgram, PolicyProgram, Tier

QUICK = quick(40)


def subject_of(raws: list[Json]) -> Subject:
    return Subject(loaded(raws), "cluster.local")


def some_bit(bits: int, random: Random) -> int:
    while True:
        at = random.randrange(bits.bit_length())
        if bits >> at & 1:
            return 1 << at


@QUICK
@given(worlds())
def test_a_space_is_what_the_evaluator_says(maker: WorldMaker) -> None:
    subject = subject_of(maker.objects())
    world = subject.world
    for space in subject.spaces:
        walked = space.walk(world.policies)
        for _ in range(6):
            bit = some_bit(space.everything, maker.random)
            flow = next(space.flows(bit))
            visible = space.direction == "ingress" and has_proxy(space.endpoint, flow)
            peer = next(space.peers(bit))
            post = Post.KERNEL if peer is None else Post.PROXY
            layer = walk(space.endpoint, space.direction, View(world, flow, post, peer, visible))
            assert (layer.verdict is Action.ALLOW) == bool(walked.allowed & bit), (flow, layer)
            if not layer.rule.startswith("_"):
                assert walked.reached[layer.rule] & bit


def without(subject: Subject, rules: set[str], policies: set[str]) -> None:
    """Take rules and policies out of the compiled world."""
    world = subject.world

    def kept(policy: PolicyProgram) -> PolicyProgram:
        return replace(
            policy,
            ingress=tuple(rule for rule in policy.ingress if rule.id not in rules),
            egress=tuple(rule for rule in policy.egress if rule.id not in rules),
        )

    def tiers(given: tuple[Tier, ...]) -> tuple[Tier, ...]:
        return tuple(
            replace(tier, policies=tuple(name for name in tier.policies if name not in policies))
            for tier in given
        )

    def endpoint(program: EndpointProgram) -> EndpointProgram:
        return replace(program, ingress=tiers(program.ingress), egress=tiers(program.egress))

    for name, policy in list(world.policies.items()):
        world.policies[name] = kept(policy)
    for name, program in list(world.endpoints.items()):
        world.endpoints[name] = endpoint(program)


def check_world(maker: WorldMaker, flows: int) -> int:
    raws = maker.objects()
    before, after = subject_of(raws), subject_of(raws)
    effects = Effects(before)
    rules, policies = {*effects.shadowed, *effects.vain}, set(effects.redundant)
    without(after, rules, policies)
    gone = covered(before)
    for name, program in list(after.world.authorizations.items()):
        kept_rules = tuple(rule for rule in program.rules if rule.id not in gone)
        after.world.authorizations[name] = replace(program, rules=kept_rules)
    names = pod_names(raws)
    for _ in range(flows):
        flow = flow_in(before.offline, maker.flow(names))
        told, now = before.offline.evaluate(flow), after.offline.evaluate(flow)
        assert told.verdict is now.verdict, (flow, rules, policies, told, now)
        assert not rules & effects.shadowed.keys() & set(told.decided_by), "a shadowed rule decides nothing"
    return len(rules) + len(policies) + len(gone)


@QUICK
@given(worlds())
def test_what_is_in_vain_can_go(maker: WorldMaker) -> None:
    check_world(maker, flows=40)


def test_many_worlds_hold_things_in_vain() -> None:
    assert sum(check_world(WorldMaker(Random(seed), size=4), flows=60) for seed in range(60)) > 60
