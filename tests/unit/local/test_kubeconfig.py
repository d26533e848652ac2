from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tsujiban.local.kubeconfig import (
    Access,
    KubeconfigError,
    document,
    merged,
    read,
    render,
    write,
    write_document,
)

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


def test_content_may_stand_in_the_file_and_a_token_for_a_certificate(tmp_path: Path) -> None:
    for name in ("ca.pem", "c.pem", "k.pem"):
        (tmp_path / name).write_bytes(name.encode())
    access = Access("https://x:1", tmp_path / "ca.pem", tmp_path / "c.pem", tmp_path / "k.pem").with_content()
    write(tmp_path / "kubeconfig", "local", access)
    assert read(tmp_path / "kubeconfig") == Access("https://x:1", b"ca.pem", b"c.pem", b"k.pem")
    token = Access("https://x:1", b"ca", token="secret")  # noqa: S106 - nobody's
    write(tmp_path / "kubeconfig", "local", token)
    assert read(tmp_path / "kubeconfig") == token
    assert token.headers() == {"Authorization": "Bearer secret"}


def test_another_context(tmp_path: Path) -> None:
    both = merged(document("a", ACCESS), document("b", Access("https://b:1", b"ca")), switch=False)
    write_document(tmp_path / "kubeconfig", both)
    assert read(tmp_path / "kubeconfig") == ACCESS
    assert read(tmp_path / "kubeconfig", "b").server == "https://b:1"
    with pytest.raises(KubeconfigError, match="'c'"):
        read(tmp_path / "kubeconfig", "c")


def test_merging_keeps_what_is_not_ours_and_replaces_what_is() -> None:
    theirs = {**document("theirs", ACCESS), "preferences": {"colors": True}}
    new = Access("https://new:1", b"ca")
    once = merged(theirs, document("ours", ACCESS), switch=True)
    twice = merged(once, document("ours", new), switch=True)
    assert [entry["name"] for entry in twice["clusters"]] == ["theirs", "ours"]
    assert twice["clusters"][1]["cluster"]["server"] == "https://new:1"
    assert twice["preferences"] == {"colors": True}
    assert twice["current-context"] == "ours"
    assert merged(theirs, document("ours", new), switch=False)["current-context"] == "theirs"
    assert merged(None, document("ours", new), switch=False)["current-context"] == "ours"


@pytest.mark.parametrize("old", ["text", {"clusters": "none"}, {"users": ["x"]}])
def test_what_is_no_kubeconfig_is_not_merged_into(old: object) -> None:
    with pytest.raises(KubeconfigError):
        merged(old, document("ours", ACCESS), switch=True)


@pytest.mark.parametrize("user", [{"exec": {"command": "x"}}, {"client-key-data": "no base64!"}])
def test_what_only_kubectl_can_use_or_nobody(tmp_path: Path, user: dict[str, object]) -> None:
    made = document("local", ACCESS)
    made["users"][0]["user"] = user
    write_document(tmp_path / "kubeconfig", made)
    with pytest.raises(KubeconfigError, match=r"plug-in|base64"):
        read(tmp_path / "kubeconfig")
