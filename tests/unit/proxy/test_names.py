from __future__ import annotations

from tsujiban.proxy import names


def test_clusters_of_different_things_have_different_names() -> None:
    made = {
        names.mesh_cluster("spiffe://t/a"),
        names.service_cluster("default/a", 80),
        names.service_cluster("default/a", 81),
        names.APP,
        names.PASSTHROUGH,
        names.AGENT_CLUSTER,
        names.INBOUND_INNER,
    }
    assert len(made) == 7


def test_a_prefixed_name_tells_its_owner() -> None:
    prefix = names.prefix("/run/netns/tsj-a-p-1")
    assert names.owner(prefix + names.service_cluster("default/web", 80)) == prefix


def test_a_name_without_prefix_has_no_owner() -> None:
    assert names.owner(names.INBOUND) == ""
    assert names.owner(names.mesh_cluster("spiffe://t/x")) == ""
