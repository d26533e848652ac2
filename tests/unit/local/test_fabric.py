import pytest

from tsujiban.local.fabric import Fabric, FabricError, check_cluster_name
from tsujiban.resources.names import cluster_prefix


@pytest.mark.parametrize("name", ["", "a-b", "A", "1a", "a" * 21, "a/b", "../a", "a.b", "a\n"])
def test_names_that_would_be_taken_for_another_clusters(name: str) -> None:
    with pytest.raises(FabricError, match="cluster name"):
        check_cluster_name(name)


def test_no_clusters_prefix_begins_anothers() -> None:
    names = ["a", "ab", "a1", "demo", "demo2"]
    for name in names:
        check_cluster_name(name)
    for one in names:
        assert sum(cluster_prefix(two).startswith(cluster_prefix(one)) for two in names) == 1


def test_where_nodes_are() -> None:
    fabric = Fabric("a")
    node = fabric.node("node-1", 1)
    assert (node.namespace, node.address, node.address6) == ("tsj-a-node-1", "172.31.255.11", "fd31:255::11")
    assert fabric.node("x", 200).address == "172.31.255.210"
    assert fabric.controller_address == "172.31.255.1"
    for number in (0, 201):
        with pytest.raises(FabricError, match="node number"):
            fabric.node("x", number)
