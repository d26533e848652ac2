from pathlib import Path

import pytest

from tsujiban.network import namespaces


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(namespaces, "NETNS_DIR", tmp_path / "netns")
    return tmp_path / "netns"


def test_where_there_never_was_one(directory: Path) -> None:
    assert namespaces.names("") == []
    assert not namespaces.exists("a")
    namespaces.delete("a")


def test_names_by_prefix(directory: Path) -> None:
    directory.mkdir()
    for name in ("tsj-b-x", "tsj-a-y", "tsj-a-x"):
        (directory / name).touch()
    assert namespaces.names("tsj-a-") == ["tsj-a-x", "tsj-a-y"]


def test_what_ip_refuses_is_said_in_its_words(directory: Path) -> None:
    with pytest.raises(namespaces.NamespaceError, match="ip netns add a/b"):
        namespaces.create("a/b")


def test_no_such_sysctl() -> None:
    with pytest.raises(FileNotFoundError):
        namespaces.write_sysctl("ipv4/no_such_key", "1")
