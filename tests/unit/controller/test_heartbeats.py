"""A node's lease, and who has been silent too long."""

from __future__ import annotations

from tsujiban.controller.heartbeats import NAMESPACE, SILENT_SECONDS, Pulse, lease_of, renewed
from tsujiban.controller.world import NAMESPACES, NODES, Ref, World

NOW = 1_800_000_000.25


def test_a_lease_is_the_nodes_and_is_renewed() -> None:
    world = World()
    assert renewed(world, "n1", NOW) is None
    world.put(Ref(*NODES, "", "n1"), {"metadata": {"name": "n1", "uid": "u"}})
    assert renewed(world, "n1", NOW) is None  # somebody has deleted the namespace
    world.put(Ref(*NAMESPACES, "", NAMESPACE), {"metadata": {"name": NAMESPACE}})
    made = renewed(world, "n1", NOW)
    assert made is not None
    assert made["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u"}
    ]
    assert made["spec"] == {
        "holderIdentity": "n1",
        "leaseDurationSeconds": 40,
        "renewTime": "2027-01-15T08:00:00.250000Z",
    }
    world.put(lease_of("n1"), {**made, "metadata": {**made["metadata"], "uid": "l", "labels": {"a": "b"}}})
    again = renewed(world, "n1", NOW + 1)
    assert again is not None
    assert again["metadata"]["labels"] == {"a": "b"}
    assert again["spec"]["renewTime"] == "2027-01-15T08:00:01.250000Z"


def test_it_is_renewed_every_ten_seconds_however_often_a_node_speaks() -> None:
    pulse = Pulse()
    assert [pulse.heard("n1", float(second)) for second in range(22)].count(True) == 3
    assert pulse.silent(21 + SILENT_SECONDS) == []
    assert pulse.silent(22 + SILENT_SECONDS) == ["n1"]
    pulse.forget("n1")
    assert pulse.silent(1000.0) == []
    assert pulse.heard("n1", 22.0)
