"""Which ways between nodes are missing."""

from __future__ import annotations

from tsujiban.local.routes import known, missing

BLOCKS = {"node-1": ["10.244.0.0/26"], "node-2": ["10.244.0.64/26", "10.244.0.128/26"]}


def test_each_node_must_know_every_block_of_the_others() -> None:
    full = {
        "node-1": frozenset({"10.244.0.64/26", "10.244.0.128/26"}),
        "node-2": frozenset({"10.244.0.0/26", "default"}),
    }
    assert missing(BLOCKS, full) == []
    assert missing(BLOCKS, full | {"node-1": frozenset({"10.244.0.64/26"})}) == [
        "node-1 has no route to 10.244.0.128/26 of node-2"
    ]
    assert len(missing(BLOCKS, dict.fromkeys(BLOCKS, frozenset()))) == 3


def test_a_namespace_that_is_not_there_knows_nothing() -> None:
    assert known("tsj-there-is-none") == frozenset()
