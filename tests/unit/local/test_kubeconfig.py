from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tsujiban.local.kubeconfig import Access, KubeconfigError, read, render, write

ACCESS = Access("https://127.0.0.1:6443", Path("/a/ca.pem"), Path("/a/cert.pem"), Path("/a/key.pem"))


def test_what_is_written_is_read_again_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    write(path, "local", ACCESS)
    assert read(path) == ACCESS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_relative_files_are_beside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(render("local", Access("https://x:1", Path("ca.pem"), Path("c.pem"), Path("k.pem"))))
    assert read(path).key_file == tmp_path / "k.pem"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not YAML"),
        ("[]", "list"),
        ("{}", "current-context"),
        ("current-context: a\ncontexts: []\n", "'a'"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(KubeconfigError, match=message):
        read(path)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="No such file"):
        read(tmp_path / "kubeconfig")
