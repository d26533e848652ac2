"""Against a model: nothing is lost, nothing is invented, the bound holds."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tsujiban.wire.outbox import Outbox, OutboxFull

LIMIT = 4
_message = st.tuples(st.sampled_from(["", "a", "b"]), st.integers(1, 9))
_step = st.one_of(_message, st.just("get"), st.sampled_from(["drop a", "drop b"]))


@given(st.lists(_step, max_size=40))
def test_sums_per_key_are_kept(steps: list[tuple[str, int] | str]) -> None:
    """Merging adds: per key, what comes out plus what waits is what went in less what was dropped."""

    async def play() -> None:
        outbox: Outbox[tuple[str, int]] = Outbox(
            LIMIT, lambda m: m[0] or None, lambda older, newer: (older[0], older[1] + newer[1])
        )
        waiting: list[tuple[str, int]] = []
        for step in steps:
            if isinstance(step, tuple):
                at = next((i for i, (key, _) in enumerate(waiting) if key and key == step[0]), None)
                try:
                    outbox.put(step)
                except OutboxFull:
                    assert len(waiting) == LIMIT
                    assert at is None
                    continue
                if at is None:
                    waiting.append(step)
                else:
                    waiting[at] = (step[0], waiting[at][1] + step[1])
            elif step == "get":
                if waiting:
                    assert await outbox.get() == waiting.pop(0)
            else:
                unwanted = step[-1]
                outbox.discard(lambda m, unwanted=unwanted: m[0] == unwanted)  # type: ignore[misc]
                waiting = [m for m in waiting if m[0] != unwanted]
            assert len(outbox) == len(waiting) <= LIMIT
        assert [await outbox.get() for _ in range(len(outbox))] == waiting

    asyncio.run(play())
