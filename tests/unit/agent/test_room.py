from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs
from tests.support.wait import PATIENCE

from tsujiban.agent import room
from tsujiban.kernel.nflog import Owners


class Looked:
    """Stands for the room: what each look finds."""

    def __init__(self, *found: frozenset[str] | OSError) -> None:
        self._found = list(found)
        self.over = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def look(self, _owners: Owners) -> frozenset[str]:
        if not self._found:
            self._loop.call_soon_threadsafe(self.over.set)
            return frozenset()
        found = self._found.pop(0)
        if isinstance(found, OSError):
            raise found
        return found


def test_it_says_who_is_refused_once_and_goes_on_after_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "LOOK_SECONDS", 0.0)
    crowded = frozenset({"tsja"})

    async def work() -> None:
        looked = Looked(frozenset(), crowded, OSError("busy"), crowded)
        made = [OSError("no socket")]

        def make() -> Looked:
            if made:
                raise made.pop()
            return looked

        keeping = asyncio.create_task(room.keep(lambda: Owners({"tsja": "default/a"}), make))  # type: ignore[arg-type]  # looks as a room does
        async with asyncio.timeout(PATIENCE):
            await looked.over.wait()
        keeping.cancel()

    with capture_logs() as told:
        asyncio.run(work())
    warned = [one["pods"] for one in told if one["log_level"] == "warning"]
    assert warned[:1] == [["default/a"]]
    assert warned[1:] in ([], [[]])
    assert [one["reason"] for one in told if one["log_level"] == "error"] == ["no socket", "busy"]
