from __future__ import annotations

import json
from pathlib import Path

import pytest

from tsujiban.cli import manifests
from tsujiban.cli.errors import Exit, Failure
from tsujiban.resources.load import ORIGIN

ACCOUNT = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web}\n"
NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"


def test_a_folder_gives_its_manifests_in_order_and_not_what_is_deeper(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "c.json", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "d.yaml").touch()
    assert [path.name for path in manifests.expand([tmp_path])] == ["a.yml", "b.yaml", "c.json"]
    assert len(manifests.expand([tmp_path], recursive=True)) == 4


def test_a_folder_without_manifests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="no manifests"):
        manifests.expand([tmp_path])


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="No such file") as caught:
        manifests.contents([tmp_path / "gone.yaml"])
    assert caught.value.exit_code == Exit.USAGE


def test_objects_get_a_namespace_and_their_origin(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"{NAMESPACE}---\n{ACCOUNT}")
    loaded = manifests.load(manifests.contents([path])).objects
    namespace, account = (manifests.wire_form(one, "shop") for one in loaded)
    assert [one[1:] for one in manifests.named([path], "shop")] == [
        (None, namespace["metadata"]["name"]),
        ("shop", account["metadata"]["name"]),
    ]
    assert "namespace" not in namespace["metadata"]
    assert account["metadata"]["namespace"] == "shop"
    origin = json.loads(account["metadata"]["annotations"][ORIGIN])
    assert origin["file"] == str(path)
    assert origin["lines"][""] == 5


def test_one_error_refuses_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"{NAMESPACE}---\n{ACCOUNT}colour: red\n")
    with pytest.raises(Failure, match="nothing was changed") as caught:
        manifests.named([path], "default")
    assert caught.value.exit_code == Exit.USAGE
    assert f"{path}:8:" in capsys.readouterr().err
