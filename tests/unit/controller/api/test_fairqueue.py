from __future__ import annotations

import pytest

from tsujiban.controller.api.fairqueue import Bounds, FairQueue, Full, Ticket

BOUNDS = Bounds(seats=4, of_flow=2, waiting_of_flow=3, waiting=5)


def called(queue: FairQueue) -> list[Ticket]:
    return list(iter(queue.next, None))


def names(queue: FairQueue) -> str:
    return "".join(ticket.flow for ticket in called(queue))


def test_a_flow_has_its_share_of_the_seats_and_no_more() -> None:
    queue = FairQueue(BOUNDS)
    tickets = [queue.ask("a") for _ in range(3)]
    assert called(queue) == tickets[:2]
    assert [ticket.running for ticket in tickets] == [True, True, False]
    queue.leave(tickets[0])
    assert called(queue) == tickets[2:]
    assert (queue.running, queue.seats, queue.waiting) == (2, 2, 0)


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("aaaab", "baaaa"),  # `a` has had a turn already
        ("bbbbbcccdd", "bcdbcdbcbb"),  # they alternate, however many each has
    ],
)
def test_one_seat_goes_round(asked: str, served: str) -> None:
    queue = FairQueue(Bounds(seats=1, of_flow=1, waiting_of_flow=9, waiting=99))
    running = queue.ask("a")
    assert names(queue) == "a"
    for flow in asked:
        queue.ask(flow)
    queue.leave(running)
    order = ""
    while found := queue.next():
        order += found.flow
        queue.leave(found)
    assert order == served


def test_wide_requests_count_for_what_they_take() -> None:
    queue = FairQueue(Bounds(seats=4, of_flow=4, waiting_of_flow=99, waiting=99))
    running = queue.ask("x", 4)
    called(queue)
    for _ in range(3):
        queue.ask("wide", 4)
    for _ in range(12):
        queue.ask("narrow")
    queue.leave(running)
    seats = {"wide": 0, "narrow": 0}
    for _ in range(6):  # while both wait
        found = queue.next()
        assert found is not None
        seats[found.flow] += found.width
        queue.leave(found)
    assert abs(seats["wide"] - seats["narrow"]) <= 4


def test_nothing_narrower_passes_who_is_wide() -> None:
    queue = FairQueue(Bounds(seats=4, of_flow=4, waiting_of_flow=9, waiting=9))
    first = [queue.ask("a"), queue.ask("b")]
    called(queue)
    wide = queue.ask("c", 4)
    assert names(queue) == ""
    queue.ask("a")
    assert names(queue) == ""
    for ticket in first:
        queue.leave(ticket)
    assert called(queue)[0] is wide


def test_wider_than_the_share_is_as_wide_as_the_share() -> None:
    queue = FairQueue(BOUNDS)
    ticket = queue.ask("a", 100)
    assert called(queue) == [ticket]
    assert ticket.width == 2


def test_a_flow_waits_in_its_own_short_queue() -> None:
    queue = FairQueue(BOUNDS)
    for _ in range(5):
        queue.ask("a")
        called(queue)
    with pytest.raises(Full, match="flow"):
        queue.ask("a")
    assert queue.ask("b")  # has a seat
    assert names(queue) == "b"


def test_all_together_wait_in_so_much_room() -> None:
    queue = FairQueue(BOUNDS)
    for flow in "aaaaabbbb":  # 4 run, 3 + 2 wait
        queue.ask(flow)
        called(queue)
    with pytest.raises(Full, match="level"):
        queue.ask("c")
    assert queue.waiting == 5


def test_who_may_run_at_once_needs_no_room_to_wait() -> None:
    queue = FairQueue(Bounds(seats=3, of_flow=1, waiting_of_flow=1, waiting=2))
    for flow in "aabb":
        queue.ask(flow)
        called(queue)
    assert queue.waiting == 2
    queue.ask("c")
    assert names(queue) == "c"


def test_who_waits_no_more_is_forgotten() -> None:
    queue = FairQueue(BOUNDS)
    tickets = []
    for _ in range(4):
        tickets.append(queue.ask("a"))
        called(queue)
    queue.leave(tickets[2])
    queue.leave(tickets[0])
    assert called(queue) == tickets[3:]
    for ticket in (tickets[1], tickets[3]):
        queue.leave(ticket)
    assert (queue.running, queue.seats, queue.waiting) == (0, 0, 0)


def test_nobody_saves_up() -> None:
    """Who was silent for long is served next, but not a hundred times."""
    queue = FairQueue(Bounds(seats=2, of_flow=2, waiting_of_flow=99, waiting=999))
    silent = queue.ask("silent")
    assert names(queue) == "silent"
    for _ in range(50):
        ticket = queue.ask("busy")
        assert called(queue) == [ticket]
        queue.leave(ticket)
    running = queue.ask("busy")
    called(queue)
    for _ in range(4):
        queue.ask("silent")
        queue.ask("busy")
    queue.leave(running)
    queue.leave(silent)
    order = []
    while found := queue.next():
        order.append(found.flow)
        queue.leave(found)
    assert order.count("silent") == order.count("busy") == 4
    assert order[:4].count("busy") >= 1
