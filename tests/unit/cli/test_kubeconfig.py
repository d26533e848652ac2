from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from click.testing import CliRunner, Result

from tsujiban.cli.main import main
from tsujiban.local.kubeconfig import Access, read


@pytest.fixture
def access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Access:
    for name in ("ca.pem", "c.pem", "k.pem"):
        (tmp_path / name).write_text(name)
    made = Access("https://127.0.0.1:1", tmp_path / "ca.pem", tmp_path / "c.pem", tmp_path / "k.pem")

    class Connected(SimpleNamespace):
        def __enter__(self) -> Connected:
            return self

        def __exit__(self, *_: object) -> None:
            return None

    monkeypatch.setattr("tsujiban.cli.kubeconfig.connect", lambda _cluster: Connected(access=made))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return made


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["kubeconfig", *words])


def test_the_text_holds_all_that_is_needed(access: Access, tmp_path: Path) -> None:
    (tmp_path / "printed").write_text(run("--cluster", "bank").output)
    assert read(tmp_path / "printed") == Access(access.server, b"ca.pem", b"c.pem", b"k.pem")
    assert yaml.safe_load((tmp_path / "printed").read_text())["current-context"] == "tsujiban-bank"


def test_it_may_name_the_files_and_another_address(access: Access, tmp_path: Path) -> None:
    (tmp_path / "printed").write_text(run("--files", "--server", "https://bastion:6443").output)
    found = read(tmp_path / "printed")
    assert (found.server, found.key_file) == ("https://bastion:6443", access.key_file)
    assert run("--server", "bastion:6443").exit_code == 2


def test_merging_into_the_users_own(access: Access, tmp_path: Path) -> None:
    path = tmp_path / "home" / ".kube" / "config"
    assert run("--merge").exit_code == 0
    assert read(path).server == access.server
    assert path.stat().st_mode & 0o777 == 0o600
    assert run("--merge", "--cluster", "bank", "--no-switch").exit_code == 0
    assert yaml.safe_load(path.read_text())["current-context"] == "tsujiban-local"
    assert read(path, "tsujiban-bank").server == access.server


def test_merging_into_a_link_and_into_what_is_broken(
    access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to("real")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'link'}:/other")
    assert run("--merge").exit_code == 0
    assert (tmp_path / "link").is_symlink()
    (tmp_path / "real").write_text("{")
    result = run("--merge")
    assert result.exit_code == 2
    assert "Repair it" in result.output
    assert (tmp_path / "real").read_text() == "{"


def test_files_that_cannot_be_read(access: Access, tmp_path: Path) -> None:
    (tmp_path / "k.pem").unlink()
    result = run()
    assert result.exit_code == 3
    assert "k.pem" in result.output
