"""However a run of the soak ends, the soak says how, of which seed, and what differed until then."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import soak

DIFFERENT = """
from tests.support import soaking

def test_two_worlds():
    with soaking.world("moon") as compared:
        compared.flows = 7
    with soaking.world("moon"):
        assert soaking.SECONDS, "kernel:\\n allow"
"""
KILLED = """
import os, signal

def test_that_somebody_kills():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def attempt(tmp_path: Path, text: str) -> tuple[int, Path]:
    """One run of a file with this text: how pytest ended, and what it has told."""
    test, report = tmp_path / "test_equality.py", tmp_path / "flows"
    test.write_text(text)
    return soak.run(test, 3, report), report


def test_what_differs_is_told_before_a_smaller_world_is_looked_for(tmp_path: Path) -> None:
    code, report = attempt(tmp_path, DIFFERENT)
    assert code == 1
    assert soak.totals(report) == "moon: 7 flows in 1 worlds; 7 in all"
    said = soak.conclusion(code, report).splitlines()
    assert said[0].startswith("something differed")
    assert said[1] == said[2]
    assert said[1].startswith("differs moon AssertionError: kernel: allow")


def test_a_run_that_is_killed_says_nothing_and_the_soak_says_how(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, report = attempt(tmp_path, KILLED)
    said = capfd.readouterr().out
    seed = said.partition(" seed ")[2].split()[0]
    assert f"seed {seed}, " in said.splitlines()[-1]
    assert said.endswith("ended by SIGKILL\n")
    assert "did not come to its end" in soak.conclusion(code, report)
