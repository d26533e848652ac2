from __future__ import annotations

import pytest

from tsujiban.cli.ages import age, duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (190, "3m10s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (11400, "3h10m"),
        (8 * 3600, "8h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_age_of_a_kubernetes_time() -> None:
    assert age("1970-01-01T00:01:00Z", 65.0) == "5s"


def test_age_without_zone_is_utc() -> None:
    assert age("1970-01-01T00:01:00", 65.0) == "5s"


def test_age_of_nothing() -> None:
    assert age("", 65.0) == "<unknown>"
