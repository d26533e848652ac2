from __future__ import annotations

import json
from pathlib import Path

import pytest

from tsujiban.proxy import binary
from tsujiban.proxy.bootstrap import argv, bootstrap, workers


def test_envoy_accepts_it_with_and_without_an_admin_interface(tmp_path: Path) -> None:
    for admin in (None, tmp_path / "admin.sock"):
        config = tmp_path / "bootstrap.json"
        config.write_text(json.dumps(bootstrap("default/web", tmp_path / "proxy.sock", admin)))
        assert binary.validate(config) == ""


def test_nothing_listens_on_an_address_that_an_application_can_reach() -> None:
    config = bootstrap("default/web", Path("/x/proxy.sock"), Path("/x/admin.sock"))
    assert config["admin"]["address"] == {"pipe": {"path": "/x/admin.sock", "mode": 0o600}}
    assert "socket_address" not in json.dumps(config)
    assert "admin" not in bootstrap("default/web", Path("/x/proxy.sock"))


def test_the_command_line_names_the_file_and_the_drain() -> None:
    command = argv(Path("/bin/envoy"), Path("/x/b.json"), concurrency=2)
    assert command[:5] == ["/bin/envoy", "--config-path", "/x/b.json", "--concurrency", "2"]
    assert command[command.index("--drain-strategy") + 1] == "immediate"
    assert "--disable-hot-restart" in command


@pytest.mark.parametrize(("cores", "expected"), [(1, 1), (4, 4), (64, 8)])
def test_a_shared_envoy_has_a_worker_for_each_core_up_to_a_number(
    cores: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    assert workers() == expected
