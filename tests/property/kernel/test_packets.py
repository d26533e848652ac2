"""What pods send is read by the agent: no bytes may surprise it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tsujiban.kernel.packets import parse


@given(st.binary(max_size=128))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    found = parse(data)
    assert (found is None) == (
        not data
        or (data[0] >> 4, len(data) >= (20 if data[0] >> 4 == 4 else 40))
        not in (
            (4, True),
            (6, True),
        )
    )


@given(st.sampled_from((b"\x45", b"\x4f", b"\x60")), st.binary(min_size=39, max_size=127))
def test_ports_are_in_range(first: bytes, rest: bytes) -> None:
    found = parse(first + rest)
    assert found is not None
    assert 0 <= found.source_port <= 65535
    assert 0 <= found.destination_port <= 65535
