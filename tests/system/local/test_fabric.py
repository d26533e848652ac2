import socket

import pytest
from tests.support import machine
from tests.support.wait import PATIENCE

from tsujiban.local.fabric import Fabric
from tsujiban.local.waiting import until
from tsujiban.network import namespaces
from tsujiban.resources.names import cluster_prefix
from tsujiban.supervise.netns import call_in, namespace_path, open_listener

pytestmark = pytest.mark.system


def _connect(namespace: str, address: str, port: int) -> None:
    call_in(namespace_path(namespace), lambda: socket.create_connection((address, port), PATIENCE).close())


def test_nodes_reach_each_other_and_the_controller() -> None:
    with machine.fabric(2) as fabric:
        one, two = fabric.node("node-1", 1), fabric.node("node-2", 2)
        for address in (two.address, f"[{two.address6}]"):
            with open_listener(namespace_path(two.namespace), f"{address}:0") as listener:
                _connect(one.namespace, listener.getsockname()[0], listener.getsockname()[1])
        with open_listener(namespace_path(fabric.namespace), f"{fabric.controller_address}:0") as listener:
            _connect(two.namespace, fabric.controller_address, listener.getsockname()[1])


def test_making_it_twice_changes_nothing() -> None:
    with machine.fabric(1) as fabric:
        node = fabric.node("node-1", 1)
        before = machine.ip(node.namespace, "-br", "addr"), machine.ip(fabric.namespace, "-br", "addr")
        fabric.create()
        assert fabric.add_node("node-1", 1) == node
        assert (
            machine.ip(node.namespace, "-br", "addr"),
            machine.ip(fabric.namespace, "-br", "addr"),
        ) == before
        assert "10.96.0.10/32" in before[0]


def test_a_cut_node_loses_its_carrier() -> None:
    with machine.fabric(1) as fabric:
        node = fabric.node("node-1", 1)

        def lost() -> bool:  # the kernel tells of it when it comes to that
            return "NO-CARRIER" in machine.ip(node.namespace, "link", "show", "eth0")

        fabric.cut(1)
        assert until(lost, PATIENCE)
        fabric.cut(1, up=True)
        assert until(lambda: not lost(), PATIENCE)


def test_nothing_is_left_and_neighbours_are_untouched() -> None:
    with machine.fabric(1) as other:
        fabric = Fabric(machine.unique_cluster())
        fabric.create()
        fabric.add_node("node-1", 1)
        fabric.remove_node("node-1")
        assert namespaces.names(cluster_prefix(fabric.cluster)) == [fabric.namespace]
        for _ in range(2):
            fabric.destroy()
            assert namespaces.names(cluster_prefix(fabric.cluster)) == []
        assert len(namespaces.names(cluster_prefix(other.cluster))) == 2
