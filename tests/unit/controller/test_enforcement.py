"""A policy's status says where it is in force, and nothing that is not so."""

from __future__ import annotations

from tsujiban.controller import enforcement
from tsujiban.controller.distribution import Distributor, Progress
from tsujiban.controller.pace import Waiting
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
    conditions: list[Json] = action.obj["status"]["conditions"]
    accepted, found = conditions
    assert (accepted["type"], accepted["status"], accepted["observedGeneration"]) == ("Accepted", "True", 3)
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
    assert enforcement.waiting(world, distributor) == [Waiting(POLICY, urgent=True)]
    (action,) = enforcement.plan(world, POLICY, distributor)
    assert isinstance(action, Update)
    world.put(POLICY, action.obj)
    assert enforcement.plan(world, POLICY, distributor) == []
    assert enforcement.waiting(world, distributor) == []
    assert distributor.unsettled == set()


def test_progress_is_not_urgent_and_the_end_is() -> None:
    slow = Progress(connected=True, outstanding=(10,))
    world, distributor = scene(Progress(connected=True), slow, Progress())
    (action,) = enforcement.plan(world, POLICY, distributor)
    assert isinstance(action, Update)
    world.put(POLICY, action.obj)
    assert enforcement.waiting(world, distributor) == []
    slow.outstanding = ()
    assert enforcement.waiting(world, distributor) == [Waiting(POLICY, urgent=False)]
    distributor.nodes["n2"].connected = True
    assert enforcement.waiting(world, distributor) == [Waiting(POLICY, urgent=True)]


def test_a_condition_says_since_when() -> None:
    world, distributor = scene(Progress(connected=True), Progress())

    def written(now: float) -> tuple[str, str, str]:
        (action,) = enforcement.plan(world, POLICY, distributor, lambda: now)
        assert isinstance(action, Update)
        world.put(POLICY, action.obj)
        enforced = action.obj["status"]["conditions"][1]
        return enforced["status"], enforced["message"], enforced["lastTransitionTime"]

    assert written(0) == ("False", "1/2 nodes", "1970-01-01T00:00:00Z")
    distributor.nodes["n2"] = Progress(connected=True)
    assert written(60) == ("False", "2/3 nodes", "1970-01-01T00:00:00Z")
    distributor.nodes["n1"].connected = True
    assert written(120) == ("True", "3/3 nodes", "1970-01-01T00:02:00Z")


def test_a_policy_that_is_gone_needs_nothing() -> None:
    world, distributor = scene()
    world.drop(POLICY)
    assert enforcement.plan(world, POLICY, distributor) == []
