from __future__ import annotations

import re

from tsujiban.cli.flows import row


def test_a_request_of_an_authenticated_peer() -> None:
    flow = {
        "time_ns": 1_500_000_000,
        "post": "proxy",
        "verdict": "deny",
        "source": "10.244.0.2",
        "destination": "10.244.0.3",
        "destination_port": 2379,
        "method": "POST",
        "path": "/v3/kv/put",
        "status": 403,
        "peer": "spiffe://cluster.local/ns/default/sa/summary",
        "rule": "default/database-read-only/ingress/1",
    }
    time, *cells = row(flow)
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.500", time)
    assert cells == [
        "proxy",
        "deny",
        "10.244.0.2",
        "10.244.0.3:2379",
        "POST /v3/kv/put 403",
        "spiffe://cluster.local/ns/default/sa/summary",
        "default/database-read-only/ingress/1",
    ]


def test_what_the_kernel_does_not_know_is_a_dash() -> None:
    flow = {
        "time_ns": 0,
        "post": "kernel",
        "verdict": "allow",
        "source": "a",
        "destination": "b",
        "destination_port": 1,
    }
    assert row(flow)[5:] == ["-", "-", "-"]
