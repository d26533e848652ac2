"""Who does not answer is asked after: the supervisor and the log know more than TCP."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tsujiban.local import silence
from tsujiban.local.cluster import LocalCluster, NotRunning, Record
from tsujiban.local.layout import Layout
from tsujiban.supervise.client import ProcessStatus


@pytest.fixture
def process(tmp_path: Path) -> ProcessStatus:
    log = tmp_path / "controller.log"
    log.write_text("begins\ncontroller: the store is damaged; restore it\n")
    return ProcessStatus(
        name="controller",
        state="backoff",
        pid=0,
        start_ticks=0,
        restarts=3,
        started_at=0.0,
        exited_at=time.time(),
        last_exit=1,
        error="",
        rss_bytes=0,
        private_bytes=0,
        log=str(log),
    )


def seen(monkeypatch: pytest.MonkeyPatch, found: ProcessStatus | Exception) -> None:
    class Cluster(LocalCluster):
        def process(self, _name: str) -> ProcessStatus:
            if isinstance(found, Exception):
                raise found
            return found

    made = Cluster(Layout("shop"), Record(cluster="shop", nodes=("node-1",), api_port=1))
    monkeypatch.setattr(silence, "open_cluster", lambda _name: made)


def test_a_controller_that_cannot_start_is_quoted(
    process: ProcessStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen(monkeypatch, process)
    told = silence.reason("shop")
    assert told is not None
    assert "has ended 4 times; it said at last: controller: the store is damaged; restore it" in str(told)
    assert process.log in told.hint
    assert "`tsujiban down --keep-state --cluster shop`" in told.hint

    async def in_a_loop() -> object:
        return silence.reason("shop")

    assert asyncio.run(in_a_loop()) is not None


def test_a_supervisor_that_is_gone_too(monkeypatch: pytest.MonkeyPatch) -> None:
    seen(monkeypatch, NotRunning("no supervisor"))
    told = silence.reason("local")
    assert told is not None
    assert "nor does the supervisor" in str(told)
    assert "`tsujiban down --keep-state`, then `tsujiban up`" in told.hint


def test_nothing_is_made_up(process: ProcessStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    seen(monkeypatch, replace(process, state="running", exited_at=time.time() - 3600))
    assert silence.reason("shop") is None
    seen(monkeypatch, replace(process, log="/nowhere", restarts=0))
    assert "does not run (backoff); it said at last: backoff" in str(silence.reason("shop"))

    def nowhere(_name: str) -> LocalCluster:
        raise NotRunning("there is no such cluster")

    monkeypatch.setattr(silence, "open_cluster", nowhere)
    assert silence.reason("shop") is None
