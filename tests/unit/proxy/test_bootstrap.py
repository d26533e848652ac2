from __future__ import annotations

import json
from pathlib import Path

import pytest

from tsujiban.proxy import binary
from tsujiban.proxy.bootstrap import argv, bootstrap, shared_heap, workers


def test_envoy_accepts_it_with_and_without_an_admin_interface(tmp_path: Path) -> None:
    for admin, heap in ((None, 1 << 30), (tmp_path / "admin.sock", 0)):
        config = tmp_path / "bootstrap.json"
        config.write_text(json.dumps(bootstrap("default/web", tmp_path / "proxy.sock", admin, heap=heap)))
        assert binary.validate(config) == ""


def test_nothing_listens_on_an_address_that_an_application_can_reach() -> None:
    config = bootstrap("default/web", Path("/x/proxy.sock"), Path("/x/admin.sock"))
    assert config["admin"]["address"] == {"pipe": {"path": "/x/admin.sock", "mode": 0o600}}
    assert "socket_address" not in json.dumps(config)
    assert "admin" not in bootstrap("default/web", Path("/x/proxy.sock"))


def test_a_shared_envoy_has_a_quarter_of_the_machine_and_a_sidecar_what_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PHYS_PAGES": 1 << 20, "SC_PAGE_SIZE": 4096}[name])
    assert shared_heap() == 1 << 30
    monkeypatch.setattr("os.sysconf", lambda _: 1)
    assert shared_heap() == 256 << 20
    config = bootstrap("node-1", Path("/x/proxy.sock"), heap=shared_heap())
    (monitor,) = config["overload_manager"]["resource_monitors"]
    assert monitor["typed_config"]["max_heap_size_bytes"] == 256 << 20
    assert "overload_manager" not in bootstrap("default/web", Path("/x/proxy.sock"))


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
