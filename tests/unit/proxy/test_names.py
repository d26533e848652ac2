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
