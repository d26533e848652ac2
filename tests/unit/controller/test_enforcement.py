"""A policy's status says where it is in force, and nothing that is not so."""

from __future__ import annotations

from tsujiban.controller import enforcement
from tsujiban.controller.distribution import Distributor, Progress
from tsujiban.controller.reconcile.actions import Update
from tsujiban.controller.world import Json, Ref, World
from tsujiban.policy.graph import PolicyGraph
from tsujiban.wire.messages import ToNode

POLICY = Ref("networking.k8s.io", "networkpolicies", "default", "p")


async def nowhere(_node: str, _message: ToNode) -> None:
    return None


def scene(*nodes: Progress) -> tuple[World, Distributor]:
    world = World()
    world.put(POLICY, {"metadata": {"name": "p", "generation": 3}, "status": {"other": 1}})
    distributor = Distributor(PolicyGraph("cluster.local"), nowhere)
    distributor.written[POLICY] = 10
    distributor.unsettled.add(POLICY)
    distributor.nodes = {f"n{number}": node for number, node in enumerate(nodes)}
    return world, distributor


def condition(world: World, distributor: Distributor) -> Json:
    (action,) = enforcement.plan(world, POLICY, distributor)
    assert isinstance(action, Update)
    assert action.obj["status"]["other"] == 1
    found: Json = action.obj["status"]["conditions"][0]
    return found


def test_every_node_must_be_connected_and_have_nothing_outstanding() -> None:
    good = Progress(connected=True, outstanding=(11,))
    found = condition(*scene(good, Progress(connected=True)))
    assert (found["status"], found["message"], found["observedGeneration"]) == ("True", "2/2 nodes", 3)
    for bad in (
        Progress(),
        Progress(connected=True, outstanding=(10,)),
        Progress(connected=True, outstanding=(9,)),
    ):
        found = condition(*scene(good, bad))
        assert (found["status"], found["message"]) == ("False", "1/2 nodes")


def test_a_nodes_problem_is_told() -> None:
    found = condition(*scene(Progress(connected=True, problems=("kernel: no",))))
    assert (found["status"], found["message"]) == ("False", "0/1 nodes: kernel: no")


def test_without_nodes_nothing_is_enforced() -> None:
    assert condition(*scene())["status"] == "False"


def test_what_says_the_truth_is_left_alone_and_forgotten_once_it_is_settled() -> None:
    world, distributor = scene(Progress(connected=True))
    assert enforcement.waiting(world, distributor) == [POLICY]
    (action,) = enforcement.plan(world, POLICY, distributor)
    assert isinstance(action, Update)
    world.put(POLICY, action.obj)
    assert enforcement.plan(world, POLICY, distributor) == []
    assert enforcement.waiting(world, distributor) == []
    assert distributor.unsettled == set()


def test_a_policy_that_is_gone_needs_nothing() -> None:
    world, distributor = scene()
    world.drop(POLICY)
    assert enforcement.plan(world, POLICY, distributor) == []
