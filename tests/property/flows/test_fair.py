"""Shared room against a plain list of which the oldest of whoever has most is taken away."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.flows.test_fair import fair, flow, kept

from tsujiban.flows.fair import Fair
from tsujiban.wire.messages import Flow

SENDERS = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


@given(
    st.integers(1, 6),
    st.lists(st.one_of(st.sampled_from(SENDERS), st.integers(1, 3)), max_size=40),
)
def test_any_history(capacity: int, steps: list[str | int]) -> None:
    room: Fair[Flow] = fair(capacity)
    model: list[tuple[int, str]] = []
    number = forgotten = 0
    for step in steps:
        if isinstance(step, int):
            assert [record.time_ns for record in room.take(step)] == [n for n, _ in model[:step]]
            model = model[step:]
        else:
            number += 1
            room.add(flow(number, source=step))
            model.append((number, step))
            if len(model) > capacity:
                counts = Counter(sender for _, sender in model)
                gone = ({n for n, _ in model} - {n for n, _ in kept(room)}).pop()
                (sender,) = (s for n, s in model if n == gone)
                assert counts[sender] == max(counts.values())
                assert gone == min(n for n, s in model if s == sender)
                model = [(n, s) for n, s in model if n != gone]
                forgotten += 1
        assert kept(room) == [(n, n) for n, _ in reversed(model)]
        assert (len(room), room.last, room.forgotten) == (len(model), number, forgotten)
