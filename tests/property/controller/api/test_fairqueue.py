"""In whichever order requests come: no seat too many, nobody left behind or ahead by more than a turn."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tsujiban.controller.api.fairqueue import Bounds, FairQueue, Full, Ticket

FLOWS = "abcd"
asks = st.tuples(st.just("ask"), st.sampled_from(FLOWS), st.integers(1, 6))
ends = st.tuples(st.just("end"), st.integers(0, 30))
steps = st.lists(st.one_of(asks, asks, ends), max_size=80)
bounds = st.builds(
    Bounds,
    seats=st.integers(4, 10),
    of_flow=st.integers(1, 4),
    waiting_of_flow=st.integers(0, 6),
    waiting=st.integers(0, 12),
)


def call(queue: FairQueue) -> list[Ticket]:
    return list(iter(queue.next, None))


@settings(deadline=None, max_examples=300)
@given(bounds, steps)
def test_bounds_hold_and_every_request_has_its_turn(found: Bounds, script: list[tuple[object, ...]]) -> None:
    queue = FairQueue(found)
    held: list[Ticket] = []
    for step in script:
        if step[0] == "ask":
            try:
                held.append(queue.ask(str(step[1]), int(str(step[2]))))
            except Full:
                assert queue.waiting > 0 or queue.running > 0  # something is in its way
        elif held:
            queue.leave(held.pop(int(str(step[1])) % len(held)))
        call(queue)
        running = [ticket for ticket in held if ticket.running]
        waiting = Counter(ticket.flow for ticket in held if not ticket.running)
        taken: Counter[str] = Counter()
        for ticket in running:
            taken[ticket.flow] += ticket.width
        assert sum(taken.values()) == queue.seats <= found.seats
        assert all(seats <= found.of_flow for seats in taken.values())
        assert len(running) == queue.running
        assert waiting.total() == queue.waiting <= found.waiting + len(FLOWS)
        assert all(number <= found.waiting_of_flow + 1 for number in waiting.values())
        free = found.seats - queue.seats
        if waiting and free >= found.of_flow:  # then only one's own share can be in the way
            assert all(taken[flow] for flow in waiting)
    for _ in range(len(held) + 1):  # each ends in its time
        for ticket in [ticket for ticket in held if ticket.running]:
            queue.leave(ticket)
            held.remove(ticket)
        call(queue)
    assert not held
    assert (queue.running, queue.seats, queue.waiting) == (0, 0, 0)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4))
def test_while_two_wait_neither_is_ahead_by_more_than_a_turn(first: int, second: int, width: int) -> None:
    queue = FairQueue(Bounds(seats=4, of_flow=4, waiting_of_flow=100, waiting=1000))
    running = queue.ask("x", 4)
    call(queue)
    for flow, number in (("a", first), ("b", second)):
        for _ in range(number):
            queue.ask(flow, width if flow == "a" else 1)
    queue.leave(running)
    had: Counter[str] = Counter()
    left = {"a": first, "b": second}
    while left["a"] and left["b"]:
        ticket = queue.next()
        assert ticket is not None
        had[ticket.flow] += ticket.width
        left[ticket.flow] -= 1
        queue.leave(ticket)
        assert abs(had["a"] - had["b"]) <= width + 1
