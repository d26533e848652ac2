from __future__ import annotations

import pytest
from tests.support.manifests import PODS, objects

from tsujiban.policy.graph import PolicyGraph, key_of
from tsujiban.policy.journal import Journal
from tsujiban.policy.nodeview import NodeView, policies_of
from tsujiban.policy.program import (
    Action,
    EndpointProgram,
    NodeState,
    Tier,
)

POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: np, namespace: x}
spec:
  podSelector: {matchLabels: {app: a}}
  ingress: [{from: [{podSelector: {matchLabels: {app: b}}}]}]
"""
AUTHORIZATION = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ap, namespace: x}
spec: {selector: {matchLabels: {app: a}}, rules: [{}]}
"""


class Node:
    """A node, what it holds, and the graph behind it."""

    def __init__(self, name: str, *texts: str) -> None:
        self.graph = PolicyGraph()
        self.change(*texts)
        self.view = NodeView(name)
        self.state = NodeState()
        self.state.apply(self.view.snapshot(self.graph, 1))

    def change(self, *texts: str) -> None:
        self.graph.apply([(key_of(one.object), one) for one in objects(*texts)])

    def drop(self, kind: str, namespace: str, name: str) -> None:
        self.graph.apply([((kind, namespace, name), None)])

    def catch_up(self) -> bool:
        """Whether there was anything to tell; afterwards the node holds what a new one would."""
        delta = self.view.delta(self.graph, 2)
        if delta is not None:
            assert not delta.full
            self.state.apply(delta)
        anew = NodeState()
        anew.apply(NodeView(self.view.node).snapshot(self.graph, self.state.revision))
        assert self.state == anew
        return delta is not None


def test_a_policy_comes_with_its_sets_and_goes_with_them() -> None:
    node = Node("n1", PODS)
    assert not node.state.sets
    node.change(POLICY, AUTHORIZATION)
    assert node.catch_up()
    assert "x/knp:np" in node.state.policies
    assert "x/authz:ap" in node.state.authorizations
    assert len(node.state.sets) == 1
    node.drop("NetworkPolicy.networking.k8s.io", "x", "np")
    node.drop("AuthorizationPolicy.security.istio.io", "x", "ap")
    assert node.catch_up()
    assert "x/knp:np" not in node.state.policies
    assert not node.state.authorizations
    assert not node.state.sets


def test_a_change_that_is_anothers_is_not_told() -> None:
    node = Node("n2", PODS)
    node.change(POLICY, AUTHORIZATION)  # of x/a, which is on n1
    assert not node.catch_up()


def test_the_set_of_anothers_policy_is_not_told() -> None:
    node = Node("n2", PODS, POLICY)
    assert not node.state.sets


def test_a_workload_that_moves_takes_its_policies_along() -> None:
    here, moved = Node("n1", PODS, POLICY), PODS.split("---")[2].replace("nodeName: n1", "nodeName: n2")
    here.change(moved)
    assert here.catch_up()
    assert here.state.endpoints == {}
    assert here.state.policies == {}
    assert here.state.sets == {}
    there = NodeState()
    there.apply(NodeView("n2").snapshot(here.graph, 1))
    assert "x/knp:np" in there.policies


def test_peers_are_everybodys() -> None:
    node = Node("n1", PODS)
    node.drop("Pod", "y", "c")
    assert node.catch_up()
    assert "10.0.0.3" not in node.state.peers


def test_a_policy_that_stays_while_one_of_two_users_goes() -> None:
    second = PODS.split("---")[2].replace("name: a,", "name: a2,").replace("10.0.0.1", "10.0.0.8")
    node = Node("n1", PODS, second, POLICY)
    node.drop("Pod", "x", "a")
    assert node.catch_up()
    assert set(node.state.endpoints) == {"x/a2"}
    assert "x/knp:np" in node.state.policies


def test_who_fell_too_far_behind_is_told_so() -> None:
    node = Node("n1", PODS)
    node.graph.journal = Journal(limit=2)
    node.view.snapshot(node.graph, 1)
    node.change(POLICY, AUTHORIZATION, PODS.replace("10.0.0.3", "10.0.0.30"))
    with pytest.raises(LookupError, match="n1"):
        node.view.delta(node.graph, 2)


def test_the_policies_that_a_program_names() -> None:
    def tier(*policies: str) -> tuple[Tier, ...]:
        return (Tier(name="t", default_action=Action.DENY, default_id="d", policies=policies),)

    program = EndpointProgram(
        id="x/a", node="n", ingress=tier("p", "q"), egress=tier("p"), profiles=("_profile/kns.x",)
    )
    assert sorted(policies_of(program)) == ["_profile/kns.x", "p", "p", "q"]
    assert policies_of(None) == ()
