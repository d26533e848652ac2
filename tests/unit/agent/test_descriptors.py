"""Whoever has most of the descriptors gets no more, and is told of once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs
from tests.support.wait import until

from tsujiban.agent import descriptors
from tsujiban.agent.descriptors import Descriptors
from tsujiban.kernel import redirect
from tsujiban.kernel.nft import NftError


class Scene:
    """An Envoy of a hundred descriptors that serves two pods."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pid, self.open = 7, 51
        self.held: dict[str, int | OSError] = {"/a": 26, "/b": 25}
        self.pods = {"default/a": "/a", "default/b": "/b"}
        self.applied: list[tuple[str, bool]] = []
        self.refused = 0  # transactions that nftables will refuse
        self.looks = 0
        self.failing: OSError | None = None  # why nothing can be told
        self.shared = Descriptors(400_001, lambda: self.pid, lambda: self.pods)
        monkeypatch.setattr(descriptors, "LOOK_SECONDS", 0.0)
        monkeypatch.setattr(descriptors, "used", self._used)
        monkeypatch.setattr(descriptors, "count_of", self._count)
        monkeypatch.setattr(redirect, "apply", self._apply)

    def _used(self, pid: int) -> tuple[int, int]:
        assert pid == 7
        self.looks += 1
        if self.failing is not None:
            raise self.failing
        return self.open, 100

    def _count(self, path: str, uid: int) -> int:
        assert uid == 400_001
        found = self.held[path]
        if isinstance(found, OSError):
            raise found
        return found

    def _apply(self, path: str, mine: redirect.Redirect) -> None:
        if self.refused:
            self.refused -= 1
            raise NftError("busy")
        self.applied.append((path, mine.full))

    async def looked(self, times: int = 2) -> None:
        """So many more looks have begun: all but the last are over."""
        before = self.looks
        await until(lambda: self.looks >= before + times)

    def play(self, story: Callable[[], object]) -> list[object]:
        async def work() -> None:
            keeping = asyncio.create_task(self.shared.keep())
            await story()  # type: ignore[misc]  # a coroutine function
            keeping.cancel()

        with capture_logs() as told:
            asyncio.run(work())
        return [one.get("pods") or one.get("reason") for one in told]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_who_has_more_than_his_part_gets_no_more_until_there_is_room(scene: Scene) -> None:
    async def story() -> None:
        await until(lambda: scene.shared.crowded == {"default/a"})
        await scene.looked()
        assert scene.applied == [("/a", True)]
        scene.held["/a"], scene.held["/b"] = 1, 60
        await until(lambda: scene.shared.crowded == {"default/b"})
        scene.open = 50
        await until(lambda: scene.shared.crowded == frozenset())
        assert scene.applied == [("/a", True), ("/a", False), ("/b", True), ("/b", False)]

    assert scene.play(story) == [["default/a"], ["default/b"], None]


def test_without_an_envoy_nobody_is_refused(scene: Scene) -> None:
    async def story() -> None:
        await until(lambda: scene.shared.crowded == {"default/a"})
        scene.pid = 0
        await until(lambda: scene.shared.crowded == frozenset())

    scene.play(story)
    assert scene.applied == [("/a", True), ("/a", False)]


def test_a_pod_that_has_ended_holds_nothing_and_is_not_touched(scene: Scene) -> None:
    async def story() -> None:
        await until(lambda: scene.shared.crowded == {"default/a"})
        scene.held["/a"] = FileNotFoundError()
        del scene.pods["default/a"]
        await until(lambda: scene.shared.crowded == frozenset())

    scene.play(story)
    assert scene.applied == [("/a", True)]


def test_what_fails_is_told_and_tried_again(scene: Scene) -> None:
    scene.refused = 1

    async def story() -> None:
        scene.failing = OSError("no such process")
        await scene.looked()
        assert scene.applied == []
        scene.failing = None
        await until(lambda: scene.shared.crowded == {"default/a"})

    told = scene.play(story)
    assert {"no such process", "busy"} <= {one for one in told if isinstance(one, str)}
    assert scene.applied == [("/a", True)]


def test_one_of_which_nothing_can_be_told_stays_as_it_is_and_keeps_others_from_nothing(scene: Scene) -> None:
    async def story() -> None:
        await until(lambda: scene.shared.crowded == {"default/a"})
        scene.held["/a"] = OSError("no netlink")
        scene.held["/b"] = 60
        await until(lambda: scene.shared.crowded == {"default/a", "default/b"})
        await scene.looked()
        scene.held["/a"], scene.held["/b"] = 1, OSError("no netlink")
        await until(lambda: scene.shared.crowded == {"default/b"})

    assert "no netlink" in scene.play(story)
    assert scene.applied == [("/a", True), ("/b", True), ("/a", False)]
