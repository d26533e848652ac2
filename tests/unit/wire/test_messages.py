"""Every message survives the codec of the node stream."""

from __future__ import annotations

import msgspec
import pytest

from tsujiban.policy.program import EndpointProgram, Member, NodeDelta, SetChange
from tsujiban.wire.messages import (
    Component,
    Enforced,
    Flow,
    Flows,
    Hello,
    NodeConfig,
    NodeStatus,
    PodsDelta,
    PodStatus,
    Policy,
    Sign,
    Signed,
    ToController,
    ToNode,
)

DELTA = NodeDelta(
    revision=7,
    endpoints={"a/b": EndpointProgram(id="a/b", node="n"), "a/gone": None},
    sets={"s": SetChange(full=True, added=frozenset({Member(net="10.0.0.1")})), "t": None},
)

TO_NODE: list[ToNode] = [
    Policy(delta=DELTA),
    PodsDelta(pods={"a/b": b'{"kind":"Pod"}', "a/c": None}, full=True),
    NodeConfig(
        trust_domain="td",
        trust_bundle_pem="PEM",
        pod_blocks=("10.244.0.0/26",),
        pod_cidrs=("10.244.0.0/16",),
        service_cidrs=("10.96.0.0/16",),
        dns_address="10.96.0.10",
        cluster_domain="cluster.local",
        bgp_peers=(("n", "172.31.255.11"),),
    ),
    Signed(request=1, chain_pem="PEM"),
    Signed(request=1, error="no"),
]

FLOW = Flow(
    time_ns=1,
    node="n",
    post="proxy",
    direction="ingress",
    endpoint="a/b",
    verdict="deny",
    rule="a/p/ingress/0",
    source="10.0.0.1",
    source_port=1,
    destination="10.0.0.2",
    destination_port=2,
    protocol=6,
)

TO_CONTROLLER: list[ToController] = [
    Hello(node="n", protocol=1, addresses=("172.31.255.11",), version="1"),
    Enforced(revision=7, took_us=5, problems=("x",)),
    PodStatus(pod="a/b", uid="u", status=b'{"phase":"Running"}'),
    Sign(request=1, pod="a/b", csr_pem="PEM"),
    Flows(flows=(FLOW,)),
    NodeStatus(components=(Component(name="bird", healthy=True),)),
]


@pytest.mark.parametrize("message", TO_NODE, ids=lambda m: type(m).__name__)
def test_to_node(message: ToNode) -> None:
    data = msgspec.msgpack.encode(message)
    assert msgspec.msgpack.decode(data, type=ToNode) == message
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(data, type=ToController)


@pytest.mark.parametrize("message", TO_CONTROLLER, ids=lambda m: type(m).__name__)
def test_to_controller(message: ToController) -> None:
    data = msgspec.msgpack.encode(message)
    assert msgspec.msgpack.decode(data, type=ToController) == message
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(data, type=ToNode)


def test_unknown_fields_of_a_newer_peer_are_ignored() -> None:
    data = msgspec.msgpack.encode({"type": "Enforced", "revision": 1, "took_us": 2, "new": 3})
    assert msgspec.msgpack.decode(data, type=ToController) == Enforced(revision=1, took_us=2)
