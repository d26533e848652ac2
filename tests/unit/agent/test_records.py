"""Both posts' observations become flow records that cite the same rule."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tsujiban.agent import flowlog, records
from tsujiban.controller import nodechecks
from tsujiban.kernel.conntrack import Connection, Ended
from tsujiban.kernel.nflog import KernelEvent
from tsujiban.kernel.packets import Packet
from tsujiban.policy.program import Action, Direction
from tsujiban.proxy.accesslog import ProxyEvent
from tsujiban.wire import transport
from tsujiban.wire.messages import Flows

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


def proxy_event(**fields: Any) -> ProxyEvent:
    """A request to the same port that was denied."""
    usual: dict[str, Any] = {
        "endpoint": "default/db",
        "log": "http",
        "source": "10.0.0.1",
        "source_port": 40000,
        "destination": "10.0.0.2",
        "destination_port": 2379,
    }
    return ProxyEvent(time_ns=9, direction="ingress", verdict="deny", **usual | fields)


def test_a_proxy_decision_keeps_peer_and_request() -> None:
    event = proxy_event(
        rules=(RULE,),
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


def test_the_longest_records_of_a_batch_fit_into_one_message() -> None:
    long = "é" * 60_000
    event = proxy_event(
        endpoint="n" * 63 + "/" + "p" * 253,
        rules=tuple("r" * 500 for _ in range(3)),
        peer="spiffe://cluster.local/ns/" + "n" * 63 + "/sa/" + "s" * 253,
        method="POST",
        path="/" + long,
        detail=long,
    )
    flow = records.of_proxy(event, "node-1")
    assert flow.peer == event.peer
    assert flow.path == "/" + "é" * (records.MAX_PATH - 2) + "…"
    assert len(flow.detail) == records.MAX_DETAIL
    batch = Flows(flows=(flow,) * flowlog.BATCH_SIZE)
    assert len(msgspec.msgpack.encode(batch)) < transport.MAX_TO_CONTROLLER


@pytest.mark.parametrize("letter", ["x", "\x1b", "\u202e", "\udc80", "\U0001f600"])
def test_no_stranger_s_words_make_a_record_that_ends_the_node_s_stream(letter: str) -> None:
    event = proxy_event(
        log="connection",
        rules=("_mesh/identity",),
        peer=letter * 60_000,
        path=letter * 60_000,
        detail=letter * 60_000,
    )
    flow = records.of_proxy(event, "node-1")
    nodechecks.check("node-1", Flows(flows=(flow,)))
    assert (flow.peer + flow.path + flow.detail).isprintable()


def test_what_does_not_print_is_percent_encoded() -> None:
    event = proxy_event(
        rules=(RULE,),
        path="/é?\x9b31m\u202ea",
        detail="a\n2026 allow",
    )
    flow = records.of_proxy(event, "node-1")
    assert (flow.path, flow.detail) == ("/é?%C2%9B31m%E2%80%AEa", "a%0A2026 allow")


def test_an_ended_connection_says_why() -> None:
    connection = Connection(6, "10.0.0.1", "10.0.0.2", 40000, 2379)
    flow = records.of_ended(Ended(connection, RULE), "node-1", 11, "default/db")
    assert (flow.verdict, flow.rule, flow.detail) == ("deny", RULE, "ended by a change of policy")
