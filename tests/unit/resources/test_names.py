"""Names that rooms derive from one another."""

from __future__ import annotations

import re

from tsujiban.resources import names


def test_a_link_name_fits_linux() -> None:
    assert re.fullmatch(r"tsj[0-9a-f]{12}", names.link_name("8d7c"))
    assert names.link_name("8d7c") != names.link_name("8d7d")


def test_a_pods_mac_is_local_and_unicast() -> None:
    first = int(names.pod_mac("8d7c").split(":")[0], 16)
    assert first & 0b10
    assert not first & 0b1


def test_namespaces_of_a_cluster_share_its_prefix() -> None:
    for name in (
        names.node_namespace("c", "node-1"),
        names.pod_namespace("c", "8d7c"),
        names.fabric_namespace("c"),
    ):
        assert name.startswith(names.cluster_prefix("c"))


def test_a_pods_namespace_is_known_by_its_link() -> None:
    assert names.link_namespace("c", names.link_name("8d7c")) == names.pod_namespace("c", "8d7c")


def test_identities() -> None:
    assert names.workload_identity("example.org", "bank", "web") == "spiffe://example.org/ns/bank/sa/web"
    assert names.node_identity("example.org", "node-1") == "spiffe://example.org/node/node-1"
