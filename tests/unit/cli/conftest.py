from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tsujiban.local.client import Client
from tsujiban.local.kubeconfig import Access

ACCESS = Access("https://127.0.0.1:1", Path("ca"), Path("cert"), Path("key"))
Answers = dict[tuple[str, str], Any]  # (method, path) -> JSON; a list is one answer after the other


class Server:
    """An API server of canned answers that remembers what it was asked."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.seen: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        found = self.answers.get((request.method, request.url.path))
        if isinstance(found, list):
            found = found.pop(0) if found else None
        if isinstance(found, httpx.Response):
            return found
        if found is None:
            return httpx.Response(404, json={"message": f"{request.url.path} not found"})
        return httpx.Response(200, json=found)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Answers], Server]:
    """Make a command module talk to a server of canned answers."""

    def start(module: str, answers: Answers) -> Server:
        server = Server(answers)
        monkeypatch.setattr(
            f"tsujiban.cli.{module}.connect", lambda _cluster: Client(ACCESS, httpx.MockTransport(server))
        )
        return server

    return start
