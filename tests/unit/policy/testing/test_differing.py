from __future__ import annotations

from copy import copy

import pytest
from msgspec.structs import replace
from tests.support.manifests import world

from tsujiban.policy.evaluate import evaluate
from tsujiban.policy.flow import Flow
from tsujiban.policy.offline import OfflineWorld
from tsujiban.policy.program import AuthzAction, AuthzProgram
from tsujiban.policy.testing.differing import differing
from tsujiban.policy.world import World

POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: x}
spec:
  selector: {matchLabels: {app: a}}
  rules:
    - from: [{source: {namespaces: [x]}}]
    - from: [{source: {namespaces: [y]}}]
      to: [{operation: {paths: ["/{*}/b"], ports: ["81"]}}]
"""


def found(where: OfflineWorld, changed: AuthzProgram) -> tuple[list[Flow], list[Flow]]:
    """The flows of a change of the one policy, and those of them that are judged differently."""
    state = copy(where.world.state)
    state.authorizations = {changed.id: changed}
    after = World(state)
    flows = list(differing(where, {"x/a"}, where.world, after))
    return flows, [f for f in flows if evaluate(where.world, f).verdict is not evaluate(after, f).verdict]


@pytest.mark.parametrize("rule", [0, 1])
def test_a_rule_that_is_taken_away_is_shown_by_flows_that_it_allowed(rule: int) -> None:
    where = world(POLICY)
    (program,) = where.world.authorizations.values()
    kept = tuple(one for at, one in enumerate(program.rules) if at != rule)
    flows, telling = found(where, replace(program, rules=kept))
    assert telling
    source = ("x/b", "y/c")[rule]
    assert {flow.source_endpoint for flow in telling} == {source}
    assert {flow.destination_endpoint for flow in flows} == {"x/a"}
    if rule == 1:
        assert {flow.port for flow in telling} == {81}


def test_the_whole_action_turned_shows_both_ways() -> None:
    where = world(POLICY)
    (program,) = where.world.authorizations.values()
    _, telling = found(where, replace(program, action=AuthzAction.DENY))
    assert {str(evaluate(where.world, flow).verdict) for flow in telling} == {"allow", "deny"}


def test_no_change_has_no_flows() -> None:
    where = world(POLICY)
    (program,) = where.world.authorizations.values()
    assert found(where, replace(program, rules=program.rules[::-1])) == ([], [])


def test_who_is_told_apart_by_one_of_the_worlds_only_is_told_apart_in_both() -> None:
    twins = """
apiVersion: v1
kind: Pod
metadata: {name: b2, namespace: x, labels: {app: b}}
spec: {serviceAccountName: other, containers: [{name: c, image: i}]}
status: {podIP: 10.0.0.77}
"""
    of_one = POLICY.replace("{namespaces: [x]}", '{principals: ["*/sa/other"]}')
    where = world(twins, of_one)
    (program,) = where.world.authorizations.values()
    _, telling = found(where, replace(program, rules=program.rules[1:]))
    assert {flow.source_endpoint for flow in telling} == {"x/b2"}
