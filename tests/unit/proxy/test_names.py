from __future__ import annotations

from tsujiban.proxy import names


def test_clusters_of_different_things_have_different_names() -> None:
    made = {
        names.mesh_cluster(names.LISTED, "10.0.0.1"),
        names.mesh_cluster(names.ASKED, "10.0.0.1"),
        names.service_cluster(names.LISTED, "10.0.0.1:80"),
        names.service_cluster(names.ASKED, "10.0.0.1:80"),
        names.APP,
        names.PASSTHROUGH,
        names.AGENT_CLUSTER,
        names.INBOUND_INNER,
    }
    assert len(made) == 8


def test_a_prefixed_name_tells_its_owner() -> None:
    prefix = names.prefix("/run/netns/tsj-a-p-1")
    assert names.owner(prefix + names.service_cluster(names.ASKED, "10.0.0.1:80")) == prefix


def test_a_service_s_name_that_is_asked_for_tells_whose_it_is_and_where() -> None:
    where = names.end("fd00::1", 80)
    name = names.service_cluster(names.ASKED, where)
    assert names.asked_service(name) == ("", "[fd00::1]:80")
    prefix = names.prefix("/run/netns/tsj-a-p-1")
    assert names.asked_service(prefix + name) == (prefix, where)
    assert names.asked_service(names.service_cluster(names.LISTED, where)) == ("", "")
    assert names.asked_service(names.mesh_cluster(names.ASKED, "10.0.0.1")) == ("", "")


def test_a_name_without_prefix_has_no_owner() -> None:
    assert names.owner(names.INBOUND) == ""
    assert names.owner(names.mesh_cluster(names.ASKED, "10.0.0.1")) == ""


def test_a_tunnel_s_name_tells_its_address_and_nothing_else_is_such_a_name() -> None:
    for address in ("10.0.0.1", "fd00::1"):
        assert names.mesh_address(names.mesh_cluster(names.ASKED, address)) == address
    strange = ("mesh", "mesh|", "mesh|asked", "mesh|asked|", "mesh|other|10.0.0.1", "mesh|asked|10.0.0.1:80")
    for name in (*strange, "mesh|asked|fe80::1%eth0", "mesh|asked|a|10.0.0.1", "service|asked|10.0.0.1", ""):
        assert names.mesh_address(name) == ""
