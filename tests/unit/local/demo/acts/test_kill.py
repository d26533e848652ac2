"""What the act of the killings knows of processes."""

from __future__ import annotations

import os
import subprocess

from tsujiban.local.demo.acts.kill import children


def test_children_are_those_that_are_there_now() -> None:
    before = children(os.getpid())
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            assert set(children(os.getpid())) - set(before) == {child.pid}
        finally:
            child.kill()
