"""Records of one connection become one story; records of two stay two."""

from __future__ import annotations

import itertools

import pytest

from tsujiban.flows.join import REUSE_NS, five_tuple, join_records
from tsujiban.wire.messages import Flow


def record(
    time_ns: int,
    post: str,
    verdict: str,
    rule: str = "r",
    *,
    port: int = 4000,
    peer: str = "",
    direction: str = "ingress",
) -> Flow:
    return Flow(
        time_ns=time_ns,
        node="node-1",
        post=post,
        direction=direction,
        endpoint="default/database",
        verdict=verdict,
        rule=rule,
        source="10.0.0.1",
        source_port=port,
        destination="10.0.0.2",
        destination_port=2379,
        protocol=6,
        peer=peer,
    )


def test_nothing() -> None:
    assert join_records([]) == []


def test_both_posts_allow() -> None:
    records = [
        record(1, "kernel", "allow", "out", direction="egress"),
        record(2, "kernel", "allow", "in"),
        record(3, "proxy", "allow", "http", peer="spiffe://td/ns/a/sa/b"),
    ]
    for order in itertools.permutations(records):
        (connection,) = join_records(order)
        assert connection.records == tuple(records)
        assert connection.verdict == "allow"
        assert connection.deciding.rule == "http"
        assert connection.peer == "spiffe://td/ns/a/sa/b"
        assert connection.key == five_tuple(records[0])


@pytest.mark.parametrize(
    ("posts", "verdict", "deciding"),
    [
        ([("kernel", "deny")], "deny", 0),
        ([("kernel", "allow"), ("kernel", "deny")], "deny", 1),
        ([("kernel", "allow"), ("proxy", "deny")], "deny", 1),
        ([("kernel", "allow"), ("proxy", "allow"), ("proxy", "deny"), ("proxy", "allow")], "partial", 2),
        ([("kernel", "deny"), ("proxy", "allow")], "deny", 0),
        ([("kernel", "allow"), ("proxy", "odd")], "deny", 1),
        ([("kernel", "odd")], "deny", 0),
    ],
)
def test_verdict(posts: list[tuple[str, str]], verdict: str, deciding: int) -> None:
    (connection,) = join_records(record(i, post, said, str(i)) for i, (post, said) in enumerate(posts))
    assert connection.verdict == verdict
    assert connection.deciding.rule == str(deciding)


def test_other_ports_are_other_connections() -> None:
    connections = join_records([record(2, "kernel", "allow", port=4001), record(1, "kernel", "allow")])
    assert [connection.key.source_port for connection in connections] == [4000, 4001]


def test_reused_port_is_a_new_connection_but_a_late_request_is_not() -> None:
    later = REUSE_NS + 2
    assert len(join_records([record(1, "kernel", "allow"), record(later, "proxy", "allow")])) == 1
    assert len(join_records([record(1, "kernel", "allow"), record(later, "kernel", "allow")])) == 2
    assert len(join_records([record(1, "kernel", "deny"), record(REUSE_NS, "kernel", "deny")])) == 1
