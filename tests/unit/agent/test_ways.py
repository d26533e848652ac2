"""What a node was told of never keeps it from the controllers of its configuration."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tsujiban.agent.ways import Way, Ways
from tsujiban.wire.controllers import MAX_KNOWN, name_of
from tsujiban.wire.messages import ControllerAddress

IDENTITY = "0123456789abcdef" * 2
CONFIGURED = [("controller.example", 7443), ("192.0.2.1", 7443)]


def told(number: int, port: int = 7443) -> ControllerAddress:
    return ControllerAddress(f"{number:032x}", f"192.0.2.{number}", port)


def turns(ways: Ways, count: int) -> list[Way]:
    found = []
    for _ in range(count):
        found.append(ways.present)
        ways.turn()
    return found


def test_each_is_known_by_a_name() -> None:
    ways = Ways(CONFIGURED)
    assert ways.learn([told(9)], whole=True)
    assert ways.all == (
        Way("controller.example", 7443, "controller.example"),
        Way("192.0.2.1", 7443, "192.0.2.1"),
        Way("192.0.2.9", 7443, name_of(f"{9:032x}")),
    )
    assert {way.name for way in Ways(CONFIGURED, "any.controller").all} == {"any.controller"}


def test_what_is_configured_is_no_second_way_when_it_is_told_too() -> None:
    ways = Ways(CONFIGURED)
    ways.learn([told(1), told(2)], whole=True)
    assert [way.host for way in ways.all] == ["controller.example", "192.0.2.1", "192.0.2.2"]
    assert ways.known == (told(1), told(2))


@given(st.integers(1, 4), st.lists(st.integers(10, 99), max_size=40), st.integers(0, 100))
def test_all_configured_ones_are_tried_between_any_two_others(
    count: int, said: list[int], begin: int
) -> None:
    ways = Ways([(f"c{number}", 1) for number in range(count)])
    turns(ways, begin)
    ways.learn([told(number) for number in said], whole=True)
    configured, learned = set(ways.all[:count]), set(ways.all[count:])
    assert len(learned) == min(len(set(said)), MAX_KNOWN)
    found = turns(ways, (count + 1) * (len(learned) + 1))
    assert set(found) == configured | learned
    for place in range(len(found) - count):
        assert configured <= set(found[place : place + count + 1])


def test_a_leader_says_all_and_others_add() -> None:
    ways = Ways(CONFIGURED)
    assert ways.learn([told(8), told(9)], whole=True)
    assert not ways.learn([told(8), told(9)], whole=True)
    assert ways.learn([told(7)], whole=False)
    assert [one.address for one in ways.known] == ["192.0.2.7", "192.0.2.8", "192.0.2.9"]
    assert ways.learn([told(9)], whole=True)
    assert [one.address for one in ways.known] == ["192.0.2.9"]


def test_lies_are_bounded_and_nothing_is_left_of_an_empty_list_but_what_is_configured() -> None:
    ways = Ways(CONFIGURED)
    ways.learn([told(number, port) for number in range(2, 200) for port in (1, 2)], whole=False)
    assert len(ways.known) == MAX_KNOWN
    ways.learn(
        [ControllerAddress(IDENTITY, "127.0.0.1", 22), ControllerAddress("", "192.0.2.3", 22)], whole=True
    )
    assert [way.host for way in ways.all] == ["controller.example", "192.0.2.1"]
    ways.learn([told(5)], whole=True)
    ways.learn([], whole=True)
    assert [way.host for way in turns(ways, 3)] == ["controller.example", "192.0.2.1", "controller.example"]
