"""What the API tells is told on; what it cannot tell stays as it was."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.wait import PATIENCE

from tsujiban.local import following
from tsujiban.local.client import ApiError
from tsujiban.local.following import Change, Follower
from tsujiban.local.unreachable import Unreachable
from tsujiban.resources.registry import Kind

Json = dict[str, Any]


def account(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}}


class Api:
    """Service accounts, and what happens to them. `away` makes it unreachable."""

    def __init__(self) -> None:
        self.accounts = {"a": account("a"), "b": account("b")}
        self.events: list[Json] = []
        self.lists = 0
        self.told = threading.Event()
        self.away = False

    def list(self, kind: Kind) -> Json:
        if kind.kind != "ServiceAccount":
            raise ApiError(404, {"message": "no such kind"})
        if self.away:
            raise Unreachable("away")
        self.lists += 1
        return {"metadata": {"resourceVersion": "7"}, "items": [*self.accounts.values()]}

    def watch(self, _kind: Kind, *, since: str) -> Iterator[Json]:
        assert since == "7"
        self.told.wait(5)
        yield from self.events
        self.events = []


class Heard:
    def __init__(self) -> None:
        self.known: dict[str, bool] = {}
        self.condition = threading.Condition()

    def __call__(self, changes: list[Change]) -> None:
        with self.condition:
            for (_, _, name), loaded in changes:
                self.known[name] = loaded is not None
            self.condition.notify_all()

    def until(self, **known: bool) -> None:
        with self.condition:
            assert self.condition.wait_for(lambda: known.items() <= self.known.items(), PATIENCE), self.known


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setattr(following, "AGAIN_SECONDS", 0.01)
    return Api()


def test_all_there_is_then_every_change(api: Api) -> None:
    heard = Heard()
    follower = Follower(lambda: api, heard)  # type: ignore[arg-type, return-value]  # it has what is asked
    follower.start()
    assert heard.known == {"a": True, "b": True}
    api.events = [
        {"type": "ADDED", "object": account("c")},
        {"type": "BOOKMARK", "object": {}},
        {"type": "DELETED", "object": account("b")},
    ]
    api.accounts = {"a": account("a"), "c": account("c")}
    api.told.set()
    heard.until(a=True, b=False, c=True)
    follower.stop()


def test_after_a_watch_that_ended_what_has_gone_meanwhile_is_told(api: Api) -> None:
    heard = Heard()
    follower = Follower(lambda: api, heard)  # type: ignore[arg-type, return-value]  # it has what is asked
    follower.start()
    api.accounts = {"b": account("b")}
    api.told.set()
    heard.until(a=False, b=True)
    follower.stop()


def test_a_start_that_cannot_tell_all_is_an_error(api: Api) -> None:
    api.away = True
    with pytest.raises(Unreachable):
        Follower(lambda: api, Heard()).start()  # type: ignore[arg-type, return-value]  # it has what is asked
