"""What is said of changes that no test noticed is true: a witness shows the change, and where no flow
is said to tell, none does."""

from __future__ import annotations

from random import Random

from hypothesis import given
from msgspec.structs import replace
from tests.support.judged import flow_in, loaded, quick
from tests.support.worlds import WorldMaker, pod_names, worlds

from tsujiban.policy.flow import Flow
from tsujiban.policy.offline import OfflineWorld
from tsujiban.policy.program import Action, AuthzAction, Rule
from tsujiban.policy.testing.mutate import Mutant, mutants
from tsujiban.policy.testing.suite import Case

QUICK = quick(15)


def flows_of(maker: WorldMaker, world: OfflineWorld, names: list[str], count: int) -> list[Flow]:
    return [flow_in(world, maker.flow(names)) for _ in range(count)]


def change(world: OfflineWorld, mutant: Mutant) -> None:
    """Make a mutant's change, as its words say, in a world of its own."""
    mesh = world.world.authorizations
    if mutant.rule in mesh:
        action = AuthzAction(mutant.change.rpartition(" ")[2])
        mesh[mutant.rule] = replace(mesh[mutant.rule], action=action)
        return
    policy = mutant.rule.rpartition("/")[0]
    if policy in mesh:
        rules = tuple(rule for rule in mesh[policy].rules if rule.id != mutant.rule)
        mesh[policy] = replace(mesh[policy], rules=rules)
        return
    policy = policy.rpartition("/")[0]
    program = world.world.policies.get(policy)
    if program is None:  # it is on nothing
        return

    def changed(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        if mutant.change == "remove":
            return tuple(rule for rule in rules if rule.id != mutant.rule)
        action = Action(mutant.change.rpartition(" ")[2])
        return tuple(replace(rule, action=action) if rule.id == mutant.rule else rule for rule in rules)

    world.world.policies[policy] = replace(
        program, ingress=changed(program.ingress), egress=changed(program.egress)
    )


def check_world(maker: WorldMaker) -> int:
    objects = loaded(maker.objects())
    names = pod_names([one.raw for one in objects])
    world = OfflineWorld(objects)
    first = flows_of(maker, world, names, 5)
    asked = [(Case(name=str(i), source="", destination="", expect=""), [f]) for i, f in enumerate(first)]
    before = [world.evaluate(flow).verdict for flow in first]
    told = list(mutants(world, objects, asked))
    assert [world.evaluate(flow).verdict for flow in first] == before, "the world is left as it was"
    more = flows_of(maker, world, names, 40)
    for mutant in told:
        if mutant.change == "remove the policy":
            continue
        other = OfflineWorld(objects)
        change(other, mutant)
        noticed = [f for f in first if other.evaluate(f).verdict is not world.evaluate(f).verdict]
        assert mutant.killed == bool(noticed)
        if mutant.witness is not None:
            assert world.evaluate(mutant.witness).verdict == mutant.before
            assert other.evaluate(mutant.witness).verdict == mutant.after != mutant.before
        if mutant.equivalent:
            assert all(other.evaluate(f).verdict is world.evaluate(f).verdict for f in more), mutant
    return sum(mutant.equivalent for mutant in told)


@QUICK
@given(worlds())
def test_what_is_said_of_survivors_is_true(maker: WorldMaker) -> None:
    check_world(maker)


def test_many_worlds_hold_changes_that_no_flow_can_tell() -> None:
    assert sum(check_world(WorldMaker(Random(seed), size=3)) for seed in range(40)) > 20
