"""A new cluster's secrets are private, work, and are not made twice."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from tsujiban.identity.tokens import FileTokenStore, check_token
from tsujiban.local import credentials, kubeconfig, layout
from tsujiban.local.layout import Layout
from tsujiban.wire.join import JoinFile


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setattr(layout, "STATE_ROOT", tmp_path / "state")
    monkeypatch.setattr(layout, "RUN_ROOT", tmp_path / "run")
    return Layout("bank")


def test_makes_what_the_administrator_and_the_nodes_need(place: Layout) -> None:
    credentials.make(place, "cluster.local", ["node-1", "node-2"], 50000)
    access = kubeconfig.read(place.kubeconfig)
    assert access.server == "https://127.0.0.1:50000"
    access.ssl_context()
    for path in place.state.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    join = msgspec.json.decode(place.join_file("node-2").read_bytes(), type=JoinFile)
    tokens = FileTokenStore(place.controller_state / "tokens")
    record = asyncio.run(check_token(tokens, join.token, "node-2", time.time()))
    assert record.node == "node-2"


def test_a_second_time_keeps_the_ca(place: Layout) -> None:
    credentials.make(place, "cluster.local", ["node-1"], 50000)
    before = kubeconfig.read(place.kubeconfig).with_content().ca_file
    credentials.make(place, "cluster.local", ["node-1"], 50001)
    access = kubeconfig.read(place.kubeconfig)
    assert access.with_content().ca_file == before
    assert access.server.endswith(":50001")
