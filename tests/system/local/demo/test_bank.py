"""The whole evening, as a user starts it; and what is left when it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.wait import PATIENCE

from tsujiban.local import leftovers
from tsujiban.local.down import down
from tsujiban.local.layout import Layout
from tsujiban.local.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(450)]


@pytest.fixture
def cluster() -> Iterator[str]:
    """A name of its own; whatever the test does, nothing of it stays."""
    name = "t" + uuid.uuid4().hex[:8]
    yield name
    down(name)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "tsujiban", *words]


def assert_nothing_left(cluster: str) -> None:
    found = leftovers.find(cluster)
    assert not found.namespaces
    assert not found.processes
    assert not Layout(cluster).run.exists()
    assert not Layout(cluster).state.exists()


def test_every_act_comes_out_right_and_nothing_is_left(cluster: str) -> None:
    done = subprocess.run(
        command("demo", "bank", "-o", "json", "--cluster", cluster),
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["ok"]
    assert [act["number"] for act in record["acts"]] == list(range(1, 11))
    assert all(act["ok"] and act["checks"] for act in record["acts"])
    assert_nothing_left(cluster)


@pytest.mark.parametrize(
    ("number", "during"),
    [
        (signal.SIGTERM, "waiting for the nodes"),
        (signal.SIGHUP, "tsujiban apply"),
        (signal.SIGINT, "waiting for the page"),
    ],
)
def test_an_interruption_cleans_up(cluster: str, number: signal.Signals, during: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as out:
        evening = subprocess.Popen(
            # where the tests run in the background, Ctrl-C would be ignored
            ["env", "--default-signal=INT", *command("demo", "bank", "--cluster", cluster)],
            stdout=out,
            stderr=out,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    try:
        assert until(lambda: during in log.read_text(), PATIENCE), log.read_text()
        evening.send_signal(number)
        assert evening.wait(PATIENCE) == 130, log.read_text()
    finally:
        if evening.poll() is None:
            evening.kill()
            evening.wait()
    assert "Traceback" not in log.read_text()
    assert_nothing_left(cluster)
