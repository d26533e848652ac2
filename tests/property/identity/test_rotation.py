"""Renewal is always between 0.4 and 0.5 of the life, retries always between their bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tsujiban.identity.rotation import FIRST_RETRY, LAST_RETRY, next_renewal, retry_delay

_spread = st.floats(0, 1, exclude_max=True)


@given(st.floats(0, 4e9), st.floats(1, 4e8), _spread)
def test_next_renewal(obtained: float, life: float, spread: float) -> None:
    due = next_renewal(obtained, obtained + life, spread)
    assert obtained + 0.399 * life <= due <= obtained + 0.501 * life


@given(st.integers(1, 10**9), _spread)
def test_retry_delay(failures: int, spread: float) -> None:
    delay = retry_delay(failures, spread)
    assert FIRST_RETRY / 2 <= delay <= LAST_RETRY
    assert delay <= retry_delay(failures + 1, spread)
