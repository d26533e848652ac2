"""Room is shared out among senders, and nobody's flood hides another's few."""

from __future__ import annotations

import pytest

from tsujiban.flows.fair import OUTSIDE, Fair, Senders
from tsujiban.wire.messages import Flow


def flow(number: int, **changes: object) -> Flow:
    fields: dict[str, object] = {
        "time_ns": number,
        "node": "n",
        "post": "kernel",
        "direction": "ingress",
        "endpoint": "a/b",
        "verdict": "deny",
        "rule": "r",
        "source": "10.0.0.1",
        "source_port": 1,
        "destination": "10.0.0.2",
        "destination_port": 2,
        "protocol": 6,
    }
    return Flow(**(fields | changes))  # type: ignore[arg-type]


def fair(capacity: int) -> Fair[Flow]:
    made: Fair[Flow] = Fair(capacity)
    made.share_out(["10.0.0.0/16", "fd00::/64"])
    return made


def kept(room: Fair[Flow]) -> list[tuple[int, int]]:
    return [(number, record.time_ns) for number, record in room.newest_first()]


@pytest.mark.parametrize(
    ("changes", "sender"),
    [
        ({}, "10.0.0.1"),
        ({"source": "fd00::1"}, "fd00::1"),
        ({"source": "10.1.0.1"}, OUTSIDE),
        ({"source": "nonsense"}, OUTSIDE),
        ({"direction": "egress"}, "a/b"),
        ({"direction": "egress", "source": "10.1.0.1"}, "a/b"),
    ],
)
def test_a_sender_is_whoever_cannot_say_that_he_is_another(changes: dict[str, object], sender: str) -> None:
    assert Senders(("10.0.0.0/16", "fd00::/64"))(flow(1, **changes)) == sender


def test_one_pods_flood_takes_its_own_room() -> None:
    room = fair(8)
    for number in (1, 2):
        room.add(flow(number, source="10.0.0.7"))
    for number in range(3, 100):
        room.add(flow(number))
    assert kept(room) == [(n, n) for n in (*range(99, 93, -1), 2, 1)]
    assert (room.last, room.first, room.forgotten, len(room)) == (99, 1, 91, 8)


def test_sources_that_anybody_can_write_are_one_sender() -> None:
    room = fair(8)
    for number in (1, 2):
        room.add(flow(number, source="10.0.0.7"))
    for number in range(3, 100):
        room.add(flow(number, source=f"192.0.2.{number}"))
    assert kept(room)[-2:] == [(2, 2), (1, 1)]


def test_other_networks_are_other_senders() -> None:
    room: Fair[Flow] = Fair(2)
    for number, source in enumerate(("10.0.0.7", "10.0.0.1", "10.0.0.1")):
        room.add(flow(number, source=source))
    assert kept(room) == [(3, 2), (2, 1)]  # all were from outside
    room.share_out(["10.0.0.0/16"])
    room.add(flow(4, source="10.0.0.7"))
    assert kept(room) == [(4, 4), (3, 2)]


def test_the_oldest_are_taken_first() -> None:
    room = fair(5)
    for number in range(5):
        room.add(flow(number, source=f"10.0.0.{number % 2}"))
    assert [record.time_ns for record in room.take(3)] == [0, 1, 2]
    assert [record.time_ns for record in room.take(9)] == [3, 4]
    assert (room.take(1), len(room), room.first, room.last) == ((), 0, 6, 5)


def test_there_is_room_for_something() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Fair(0)
