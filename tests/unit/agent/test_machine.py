"""What a node says of its machine is what the machine says."""

from __future__ import annotations

import os
import platform

import pytest

from tsujiban.agent import machine
from tsujiban.controller.nodechecks import CAPACITY_FORM
from tsujiban.wire.messages import CAPACITY, SYSTEM


def test_it_is_told_in_kubernetes_words() -> None:
    told = machine.about()
    assert told.keys() <= set(SYSTEM)
    assert told["kernelVersion"] == os.uname().release
    assert told["operatingSystem"] == "linux"


def test_what_is_not_known_is_left_out_and_nothing_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> dict[str, str]:
        raise OSError("no such file")

    monkeypatch.setattr(platform, "freedesktop_os_release", none)
    monkeypatch.setattr(platform, "release", lambda: "6" * 1000)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    told = machine.about()
    assert "osImage" not in told
    assert len(told["kernelVersion"]) == machine.MOST
    assert told["architecture"] == "amd64"


def test_what_it_says_it_has_is_taken_by_a_controller() -> None:
    found = machine.capacity()
    assert set(found) == set(CAPACITY)
    assert all(CAPACITY_FORM.fullmatch(amount) for amount in found.values())
