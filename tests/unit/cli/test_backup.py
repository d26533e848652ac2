from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tsujiban.cli.errors import Exit
from tsujiban.cli.main import main
from tsujiban.local import backup as local
from tsujiban.local.backup import About, BackupError, Restored

ABOUT = About(format=1, cluster="t", made=0, version="1", store_sha256="", revision=7, objects=3, keys=False)


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(words))
    return result.exit_code, result.output


@pytest.mark.parametrize(("words", "told"), [((), "It holds no keys"), (("--with-keys",), "Encrypt it")])
def test_backup_says_what_the_file_holds(
    words: tuple[str, ...], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "back_up", lambda _cluster, _file, _say, *, keys: ABOUT)
    code, text = run("backup", str(tmp_path / "f"), *words)
    assert code == Exit.OK
    assert "3 objects of cluster local at revision 7" in text
    assert told in text


def test_restore_says_what_became_of_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").touch()
    done = Restored(about=ABOUT, aside=tmp_path / "old", keys=False)
    monkeypatch.setattr(local, "restore", lambda _cluster, _file, _say: done)
    code, text = run("restore", str(tmp_path / "f"))
    assert code == Exit.OK
    assert f"the store of before is {tmp_path / 'old'}" in text
    assert "tsujiban up" in text


@pytest.mark.parametrize(
    ("error", "code"), [(BackupError("no"), Exit.REFUSED), (ValueError("no"), Exit.USAGE)]
)
def test_what_stands_in_the_way_is_one_message(
    error: Exception, code: Exit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_words: object, **_named: object) -> None:
        raise error

    (tmp_path / "f").touch()
    for name, function in (("backup", "back_up"), ("restore", "restore")):
        monkeypatch.setattr(local, function, fail)
        found, text = run(name, str(tmp_path / "f"))
        assert (found, "error: no" in text) == (code, True)
