from __future__ import annotations

from tsujiban.controller.api.encodings import Encodings
from tsujiban.store.protocol import Event, EventType, Key, Stored


def change(number: int, size: int = 10) -> Event:
    return Event(EventType.ADDED, Stored(Key("", "secrets", "a", "b"), b"x" * size, number))


def test_a_change_is_made_once_in_each_form() -> None:
    encodings = Encodings()
    event = change(1)
    assert encodings.of(event, "json", lambda: b"first") == b"first"
    assert encodings.of(event, "table", lambda: b"other") == b"other"
    assert encodings.of(event, "json", lambda: b"again") == b"first"
    assert encodings.made == 2


def test_another_change_with_the_same_content_is_another() -> None:
    encodings = Encodings()
    assert encodings.of(change(1), "a", lambda: 1) == 1
    assert encodings.of(change(1), "a", lambda: 2) == 2


def test_only_the_newest_are_kept() -> None:
    encodings = Encodings(kept=2)
    events = [change(number) for number in range(3)]
    for event in events:
        encodings.of(event, "a", lambda: 1)
    assert [encodings.of(event, "a", lambda: 2) for event in (events[2], events[0])] == [1, 2]


def test_large_ones_are_not_kept_for_long_but_the_newest_is() -> None:
    encodings = Encodings(kept_bytes=100)
    small, large = change(1, 60), change(2, 2000)
    for event in (small, large):
        encodings.of(event, "a", lambda: 1)
    assert [encodings.of(event, "a", lambda: 2) for event in (large, small)] == [1, 2]
