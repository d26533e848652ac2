from __future__ import annotations

import pytest
from tests.support.manifests import judge, objects, world

from tsujiban.policy.evaluate import evaluate
from tsujiban.policy.explain import explain_objects
from tsujiban.policy.forwarding import crossings
from tsujiban.policy.program import Action

HOST = """
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {{name: {name}, labels: {{role: edge}}}}
spec: {{node: {node}, interfaceName: "{interface}", expectedIPs: [{address}], profiles: []}}
"""
NO_HTTP = """
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: edge-only-443}
spec:
  selector: role == 'edge'
  applyOnForward: true
  types: [Ingress]
  ingress: [{action: Allow, protocol: TCP, destination: {ports: [443]}}]
"""
LOCAL_ONLY = NO_HTTP.replace("  applyOnForward: true\n", "")


def host(name: str, node: str, interface: str, address: str = "192.0.2.1") -> str:
    return HOST.format(name=name, node=node, interface=interface, address=address)


def placed(*texts: str) -> str:
    """Two pods on node `one`, one on node `two`."""
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {{name: {0}, namespace: x}}\n"
    pod += "spec: {{nodeName: {1}, containers: [{{name: m, image: i}}]}}\nstatus: {{podIP: {2}}}\n"
    pods = (
        pod.format(*p) for p in (("p", "one", "10.0.0.1"), ("q", "one", "10.0.0.2"), ("r", "two", "10.0.0.3"))
    )
    space = "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n"
    return "---\n".join((space, *pods, *texts))


@pytest.mark.parametrize(
    ("interface", "source", "destination", "port", "allowed"),
    [
        ("eth0", "x/r", "x/p", 80, False),
        ("eth0", "x/r", "x/p", 443, True),
        ("eth0", "198.51.100.1", "x/p", 80, False),
        ("eth0", "x/p", "x/q", 80, True),  # stays on the node
        ("eth0", "x/p", "x/r", 80, True),  # enters by the pod's link, which eth0 is not
        ("*", "x/p", "x/q", 80, False),
        ("*", "x/p", "x/r", 80, False),
        ("*", "host/edge", "x/p", 80, True),  # sent by the node, not forwarded
    ],
)
def test_what_a_node_forwards(
    interface: str, source: str, destination: str, port: int, allowed: bool
) -> None:
    where = world(placed(host("edge", "one", interface), NO_HTTP, ALLOW_ALL_OUT))
    assert judge(where, source, destination, port=port)[0] is allowed


ALLOW_ALL_OUT = """
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: edge-out}
spec: {selector: role == 'edge', types: [Egress], egress: [{action: Allow}]}
"""


def test_the_layer_names_the_host_endpoint_and_the_rule() -> None:
    where = world(placed(host("edge", "one", "eth0"), NO_HTTP))
    verdict = where.evaluate(where.flow(where.end("x/r"), where.end("x/p"), port=80))
    assert verdict.decided_by == ("_tier/default/ingress/default",)
    assert [(y.layer, y.endpoint) for y in verdict.layers][1] == ("forward-ingress", "host/edge")


def test_only_policies_on_forwarded_traffic_count_and_no_profile() -> None:
    where = world(placed(host("edge", "one", "eth0"), LOCAL_ONLY))
    assert not where.world.guards
    assert judge(where, "x/r", "x/p", port=80)[0]


def test_every_named_interface_must_allow() -> None:
    other = host("other", "one", "eth1", "192.0.2.2").replace("role: edge", "role: inner")
    where = world(placed(host("edge", "one", "eth0"), other, NO_HTTP))
    end = where.end("x/p").endpoint
    crossed = list(crossings(where.world.guards, None, where.world.endpoints[end]))
    assert [(found.id, str(direction)) for found, direction in crossed] == [
        ("host/edge", "ingress"),
        ("host/other", "ingress"),
    ]
    assert not judge(where, "x/r", "x/p", port=80)[0]


def test_a_policy_that_is_missing_denies() -> None:
    where = world(placed(host("edge", "one", "eth0"), NO_HTTP))
    state = where.graph.state()
    del state.policies["_global/edge-only-443"]
    assert evaluate(state, where.flow(where.end("x/r"), where.end("x/p"), port=443)).verdict is Action.DENY


def test_egress_on_the_way_out() -> None:
    policy = NO_HTTP.replace("Ingress", "Egress").replace("ingress:", "egress:")
    where = world(placed(host("edge", "one", "eth0"), policy))
    assert not judge(where, "x/p", "x/r", port=80)[0]
    assert judge(where, "x/p", "x/r", port=443)[0]
    assert judge(where, "x/p", "x/q", port=80)[0]


def test_explain_tells_the_crossing() -> None:
    found = objects(
        placed(host("edge", "one", "eth0"), NO_HTTP, LOCAL_ONLY.replace("edge-only", "local-only"))
    )
    told = explain_objects(found, "x/r", "x/p", port=80)
    crossed = next(layer for layer in told.layers if layer.layer == "forward-ingress")
    assert [policy.id for tier in crossed.tiers for policy in tier.policies] == ["_global/edge-only-443"]
    assert "passes through" in crossed.note
    assert crossed.verdict == "deny"
