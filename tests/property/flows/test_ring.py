"""The ring against a plain list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tsujiban.flows.ring import FlowFilter, FlowRing
from tsujiban.wire.messages import Flow


def flow(number: int, verdict: str) -> Flow:
    return Flow(
        time_ns=number,
        node="n",
        post="kernel",
        direction="ingress",
        endpoint="a/b",
        verdict=verdict,
        rule="r",
        source="10.0.0.1",
        source_port=1,
        destination="10.0.0.2",
        destination_port=2,
        protocol=6,
    )


@given(
    st.integers(1, 7),
    st.lists(st.lists(st.sampled_from(["allow", "deny"]), max_size=9), max_size=8),
    st.integers(0, 40),
    st.one_of(st.none(), st.integers(0, 5)),
)
def test_query(capacity: int, batches: list[list[str]], since: int, limit: int | None) -> None:
    ring: FlowRing[Flow] = FlowRing(capacity)
    everything: list[tuple[int, Flow]] = []
    for batch in batches:
        flows = [flow(len(everything) + i + 1, verdict) for i, verdict in enumerate(batch)]
        ring.extend(flows)
        everything += [(f.time_ns, f) for f in flows]
    held = everything[-capacity:]
    denied = [(s, f) for s, f in held if s > since and f.verdict == "deny"]
    if limit is not None:
        denied = denied[len(denied) - min(limit, len(denied)) :]
    assert [tuple(entry) for entry in ring.query(since, FlowFilter(verdict="deny"), limit)] == denied
    assert (len(ring), ring.last) == (len(held), len(everything))
    assert ring.first == (held[0][0] if held else len(everything) + 1)
