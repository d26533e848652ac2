from __future__ import annotations

import base64

import pytest

from tsujiban.local.demo.acts.wire import judge, needles, sightings
from tsujiban.local.demo.packets import SYN, Segment, Streams

NAME = "Aoi Tanaka"


def streams(*payloads: bytes, source_port: int = 40000, destination_port: int = 80) -> Streams:
    found = Streams()
    sequence = 0
    found.add(Segment("10.0.0.1", source_port, "10.0.0.2", destination_port, 0, SYN, b""))
    for payload in payloads:
        found.add(Segment("10.0.0.1", source_port, "10.0.0.2", destination_port, sequence + 1, 0, payload))
        sequence += len(payload)
    return found


@pytest.mark.parametrize("before", ["", "x", "xy", "xyz"])
def test_the_name_is_seen_plain_and_in_base64_wherever_it_stands(before: str) -> None:
    text = f"{before}{NAME}, born".encode()
    assert sightings(streams(text), NAME) == 1
    assert sightings(streams(base64.b64encode(text)), NAME) == 1


def test_a_name_cut_by_a_packet_is_still_seen() -> None:
    assert sightings(streams(b"Aoi Ta", b"naka"), NAME) == 1


def test_no_needle_is_so_short_that_chance_finds_it() -> None:
    assert min(map(len, needles(NAME))) >= 8


def test_plain_http_is_judged_as_no_tls() -> None:
    good, problems = judge(streams(b"GET / HTTP/1.1\r\n"))
    assert good == 0
    assert "content type" in problems[0]


def test_a_connection_that_began_before_the_capture_is_a_problem() -> None:
    found = Streams()
    found.add(Segment("10.0.0.1", 1, "10.0.0.2", 2, 5, 0, b"x"))
    assert judge(found) == (0, ["10.0.0.1 → 10.0.0.2: began before the capture"])


def test_a_connection_without_data_says_nothing() -> None:
    assert judge(streams()) == (0, [])
