"""Both posts' observations become flow records that cite the same rule."""

from __future__ import annotations

import pytest

from tsujiban.agent import records
from tsujiban.kernel.conntrack import Connection, Ended
from tsujiban.kernel.nflog import KernelEvent
from tsujiban.kernel.packets import Packet
from tsujiban.policy.program import Action, Direction
from tsujiban.proxy.accesslog import ProxyEvent

RULE = "default/database-read-only/ingress/1"
PACKET = Packet("10.0.0.1", "10.0.0.2", 6, 40000, 2379)


def kernel_event(verdict: Action, *, staged: bool = False) -> KernelEvent:
    return KernelEvent(
        time_ns=7,
        verdict=verdict,
        staged=staged,
        direction=Direction.INGRESS,
        rule=RULE,
        interface="tsj0",
        endpoint="default/db",
        packet=PACKET,
    )


def test_a_kernel_denial() -> None:
    flow = records.of_kernel(kernel_event(Action.DENY), "node-1")
    assert flow is not None
    assert (flow.post, flow.verdict, flow.rule, flow.endpoint) == ("kernel", "deny", RULE, "default/db")
    assert (flow.source, flow.source_port, flow.destination, flow.destination_port) == (
        "10.0.0.1",
        40000,
        "10.0.0.2",
        2379,
    )


@pytest.mark.parametrize(
    ("verdict", "staged"), [(Action.LOG, False), (Action.DENY, True), (Action.ALLOW, True)]
)
def test_what_decides_nothing_is_no_flow(verdict: Action, staged: bool) -> None:
    assert records.of_kernel(kernel_event(verdict, staged=staged), "node-1") is None


def test_a_proxy_decision_keeps_peer_and_request() -> None:
    event = ProxyEvent(
        time_ns=9,
        endpoint="default/db",
        log="http",
        direction="ingress",
        verdict="deny",
        rules=(RULE,),
        source="10.0.0.1",
        source_port=40000,
        destination="10.0.0.2",
        destination_port=2379,
        peer="spiffe://cluster.local/ns/default/sa/summary",
        tls="TLSv1.3",
        method="POST",
        path="/v3/kv/put",
        status=403,
    )
    flow = records.of_proxy(event, "node-1")
    assert (flow.post, flow.verdict, flow.rule) == ("proxy", "deny", RULE)
    assert (flow.peer, flow.tls, flow.method, flow.path, flow.status) == (
        "spiffe://cluster.local/ns/default/sa/summary",
        "TLSv1.3",
        "POST",
        "/v3/kv/put",
        403,
    )


def test_an_ended_connection_says_why() -> None:
    connection = Connection(6, "10.0.0.1", "10.0.0.2", 40000, 2379)
    flow = records.of_ended(Ended(connection, RULE), "node-1", 11, "default/db")
    assert (flow.verdict, flow.rule, flow.detail) == ("deny", RULE, "ended by a change of policy")
