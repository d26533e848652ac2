from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from rich.console import Console

from tsujiban.local.demo import runner
from tsujiban.local.demo.hands import DemoError
from tsujiban.local.demo.programme import Act
from tsujiban.local.demo.record import ActRecord
from tsujiban.local.demo.show import Show
from tsujiban.local.demo.stage import Stage
from tsujiban.local.demo.world import World

NOWHERE = cast("World", None)  # these acts look at nothing


def play(scene: Callable[[Any, Stage], Awaitable[None]]) -> ActRecord:
    show = Show(Console(file=io.StringIO()))
    return asyncio.run(runner._play(1, Act("Title", "Story.", scene), NOWHERE, show))


def test_an_act_that_ends_is_judged_by_its_checks() -> None:
    async def scene(_world: World, stage: Stage) -> None:
        stage.same("a", 1, 1)

    record = play(scene)
    assert record.ok
    assert record.seconds >= 0


@pytest.mark.parametrize("error", [DemoError("no pod"), OSError("no nft"), ValueError("no number")])
def test_an_act_that_cannot_go_on_failed_and_says_why(error: Exception) -> None:
    async def scene(_world: World, stage: Stage) -> None:
        stage.same("a", 1, 1)
        raise error

    record = play(scene)
    assert not record.ok
    assert record.error == str(error)


def test_an_act_without_end_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(_world: World, _stage: Stage) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(runner, "ACT_SECONDS", 0.05)
    assert play(scene).error.startswith("not over after")
