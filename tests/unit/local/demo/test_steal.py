"""Where a pod's key is asked for: at its sidecar's socket, or at that of its node's Envoy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tsujiban.local.demo import steal
from tsujiban.local.layout import Layout

POD = {"metadata": {"namespace": "default", "name": "web", "uid": "u1"}, "spec": {"nodeName": "node-1"}}
CLUSTER: Any = SimpleNamespace(
    layout=Layout("shop"),
    process_name=lambda _namespace, _pod, container: f"node-1/pods/u1/{container}",
    pod_netns=lambda _namespace, _pod: "tsj-shop-p-1",
    process=lambda _name: SimpleNamespace(pid=42),
)


def test_a_sidecar_is_asked_about_in_its_pods_network() -> None:
    place = steal._of_sidecar(CLUSTER, POD)
    assert place.process == "node-1/pods/u1/sidecar"
    assert place.netns.endswith("/tsj-shop-p-1")
    assert str(place.directory).endswith("/shop/node-1/pods/u1")
    assert (place.node, place.secret) == ("default/web", "identity")


def test_a_nodes_envoy_in_its_own_and_by_the_pods_prefix() -> None:
    place = steal._of_node(CLUSTER, POD)
    assert place.process == "node-1/proxy"
    assert place.netns == "/proc/42/ns/net"
    assert str(place.directory).endswith("/shop/node-1/proxy")
    assert place.node == "node-1"
    assert place.secret.endswith("tsj-shop-p-1|identity")
