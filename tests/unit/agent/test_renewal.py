"""Sidecars of another version than the installed one are renewed, one by one, while that goes well."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.support.wait import PATIENCE

from tsujiban.agent import renewal
from tsujiban.agent.renewal import Renewal
from tsujiban.proxy import binary
from tsujiban.supervise.client import Refused

OLD, NEW = "1.39.0", "1.40.0"
Play = Callable[[Callable[["Scene"], Awaitable[None]]], None]


class Scene:
    """A proxy post, and a supervisor that has new Envoys come at once, or as the test says."""

    def __init__(self) -> None:
        self.there: dict[str, tuple[str, ...]] = {}
        self.asked: list[str] = []
        self.comes = asyncio.Event()
        self.comes.set()
        self.refuses: set[str] = set()
        self.running: asyncio.Task[None]
        self.renewal = Renewal(self, self.hand_over)  # type: ignore[arg-type]  # a post needs no more here

    def versions(self, key: str) -> tuple[str, ...]:
        return self.there.get(key, ())

    async def until_ready(self, key: str, version: str) -> None:
        await self.comes.wait()
        assert version == NEW
        self.there[key] = (OLD, NEW)

    async def hand_over(self, key: str) -> None:
        self.asked.append(key)
        if key in self.refuses:
            raise Refused("no such process")

    def comes_back(self, **there: str) -> None:
        for key, version in there.items():
            self.there[key] = (version,)
            self.renewal.look(key)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    monkeypatch.setattr(binary, "version", lambda: NEW)

    def run(story: Callable[[Scene], Awaitable[None]]) -> None:
        async def all_of_it() -> None:
            scene = Scene()
            scene.running = asyncio.create_task(scene.renewal.run())
            try:
                await story(scene)
            finally:
                scene.running.cancel()

        asyncio.run(all_of_it())

    return run


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_those_of_another_version_one_after_the_other(play: Play) -> None:
    async def story(scene: Scene) -> None:
        scene.comes.clear()
        scene.comes_back(a=OLD, b=NEW, c=OLD)
        await turns()
        assert scene.asked == ["a"]  # the next one waits until this one serves
        scene.comes.set()
        await turns()
        assert scene.asked == ["a", "c"]

    play(story)


def test_one_that_has_been_renewed_meanwhile_or_is_gone_is_left_alone(play: Play) -> None:
    async def story(scene: Scene) -> None:
        scene.comes_back(a=OLD, b=OLD, c=OLD)
        scene.there["a"] = (NEW,)
        del scene.there["b"]
        await turns()
        assert scene.asked == ["c"]

    play(story)


def test_what_cannot_be_asked_keeps_nobody_waiting(play: Play) -> None:
    async def story(scene: Scene) -> None:
        scene.refuses = {"a"}
        scene.comes_back(a=OLD, b=OLD)
        await turns()
        assert scene.asked == ["a", "b"]

    play(story)


@pytest.mark.parametrize(("gone", "asked"), [(False, ["a"]), (True, ["a", "b"])])
def test_a_version_that_does_not_work_is_tried_on_one_pod(
    play: Play, monkeypatch: pytest.MonkeyPatch, gone: bool, asked: list[str]
) -> None:
    monkeypatch.setattr(renewal, "SERVES_SECONDS", 0.01)
    hand_over = Scene.hand_over

    async def handed_over(scene: Scene, key: str) -> None:
        await hand_over(scene, key)
        if gone and key == "a":  # before anybody can have waited for it
            del scene.there[key]

    monkeypatch.setattr(Scene, "hand_over", handed_over)

    async def story(scene: Scene) -> None:
        scene.comes.clear()
        scene.comes_back(a=OLD, b=OLD, c=OLD)
        await asyncio.wait_for(scene.running, PATIENCE)
        assert scene.asked == asked

    play(story)
