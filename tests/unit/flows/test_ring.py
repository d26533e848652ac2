"""The ring forgets the oldest, never numbers twice, and wakes its readers."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.wait import PATIENCE

from tsujiban.flows.ring import FlowFilter, FlowRing
from tsujiban.wire.messages import Flow


def flow(number: int, **changes: object) -> Flow:
    fields: dict[str, object] = {
        "time_ns": number,
        "node": "node-1",
        "post": "kernel",
        "direction": "ingress",
        "endpoint": "default/database",
        "verdict": "deny",
        "rule": "default/db/ingress/0",
        "source": "10.0.0.1",
        "source_port": 4000,
        "destination": "10.0.0.2",
        "destination_port": 2379,
        "protocol": 6,
    }
    return Flow(**(fields | changes))  # type: ignore[arg-type]


def times(
    ring: FlowRing[Flow], since: int = 0, wanted: FlowFilter | None = None, limit: int | None = None
) -> list[int]:
    return [entry.flow.time_ns for entry in ring.query(since, wanted or FlowFilter(), limit)]


def test_empty() -> None:
    ring: FlowRing[Flow] = FlowRing()
    assert (len(ring), ring.first, ring.last, ring.query()) == (0, 1, 0, [])


def test_a_ring_must_hold_something() -> None:
    with pytest.raises(ValueError, match="at least one"):
        FlowRing(0)


@pytest.mark.parametrize("batches", [[10], [1] * 10, [3, 7], [4, 4, 2]])
def test_wraps_around(batches: list[int]) -> None:
    ring: FlowRing[Flow] = FlowRing(4)
    number = 0
    for size in batches:
        ring.extend([flow(number + i + 1) for i in range(size)])
        number += size
    assert (len(ring), ring.first, ring.last) == (4, 7, 10)
    assert [(e.sequence, e.flow.time_ns) for e in ring.query()] == [(7, 7), (8, 8), (9, 9), (10, 10)]


@pytest.mark.parametrize(("since", "expected"), [(0, [7, 8, 9, 10]), (8, [9, 10]), (10, []), (99, [])])
def test_since(since: int, expected: list[int]) -> None:
    ring: FlowRing[Flow] = FlowRing(4)
    ring.extend([flow(i) for i in range(1, 11)])
    assert times(ring, since) == expected


def test_limit_keeps_the_newest_wanted() -> None:
    ring: FlowRing[Flow] = FlowRing()
    ring.extend([flow(i, verdict="allow" if i % 2 else "deny") for i in range(1, 11)])
    assert times(ring, 0, FlowFilter(verdict="allow"), 2) == [7, 9]
    assert times(ring, 0, FlowFilter(), 0) == []


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        (FlowFilter(), True),
        (FlowFilter(endpoint="default/database"), True),
        (FlowFilter(endpoint="default/data"), False),
        (FlowFilter(verdict="allow"), False),
        (FlowFilter(post="proxy"), False),
        (FlowFilter(rule="default/db/ingress/0"), True),
        (FlowFilter(rule="default/db"), True),
        (FlowFilter(rule="default/db/"), True),
        (FlowFilter(rule="default/d"), False),
        (FlowFilter(peer="spiffe://td/x"), False),
        (FlowFilter(address="10.0.0.1"), True),
        (FlowFilter(address="10.0.0.2"), True),
        (FlowFilter(address="10.0.0.3"), False),
        (FlowFilter(endpoint="default/database", verdict="allow"), False),
    ],
)
def test_filter(wanted: FlowFilter, matches: bool) -> None:
    assert wanted.matches(flow(1)) is matches


def test_waiting() -> None:
    async def scenario() -> list[int]:
        ring: FlowRing[Flow] = FlowRing()
        ring.extend([flow(1)])
        await asyncio.wait_for(ring.wait(0), PATIENCE)  # news already
        readers = [asyncio.create_task(ring.wait(since)) for since in (1, 1, 2)]
        await asyncio.sleep(0)
        ring.extend([])
        await asyncio.sleep(0)
        assert not any(reader.done() for reader in readers)
        ring.extend([flow(2)])
        await asyncio.wait_for(asyncio.gather(*readers[:2]), PATIENCE)
        assert not readers[2].done()
        ring.extend([flow(3)])
        await asyncio.wait_for(readers[2], PATIENCE)
        return times(ring)

    assert asyncio.run(scenario()) == [1, 2, 3]
