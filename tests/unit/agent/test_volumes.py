import base64
import os
from pathlib import Path
from typing import Any

import pytest

from tsujiban.agent import volumes
from tsujiban.agent.podenv import ConfigError
from tsujiban.agent.sandbox import Mount
from tsujiban.resources.kinds.core import ConfigMap, Container, Pod, PodSpec
from tsujiban.resources.kinds.meta import ObjectMeta

APPS = ConfigMap(data={"a.py": "print(1)", "b": "2"}, binary_data={"c": base64.b64encode(b"\0").decode()})


def _pod(*entries: dict[str, Any]) -> Pod:
    return Pod(spec=PodSpec(volumes=entries))


def _container(*entries: dict[str, Any]) -> Container:
    return Container(name="c", volume_mounts=entries)


BOTH = _pod({"name": "data", "emptyDir": {}}, {"name": "apps", "configMap": {"name": "apps"}})


def test_mounts() -> None:
    container = _container(
        {"name": "data", "mountPath": "/data"},
        {"name": "data", "mountPath": "/ro/", "readOnly": True},
        {"name": "apps", "mountPath": "/apps"},
        {"name": "apps", "mountPath": "/a.py", "subPath": "a.py"},
    )
    assert volumes.mounts(BOTH, container, Path("/v")) == (
        Mount("/v/data", "/data", True),
        Mount("/v/data", "/ro", False),
        Mount("/v/apps", "/apps", False),
        Mount("/v/apps/a.py", "/a.py", False),
    )


@pytest.mark.parametrize(
    "path",
    [
        "relative",
        "/",
        "/proc",
        "/proc/self",
        "/dev/x",
        "/etc",
        "/run/tsujiban",
        "/run/tsujiban/x",
        "/var/lib/tsujiban/x",
        "/a/../etc",
        "//etc",
        "/a//b",
    ],
)
def test_places_that_no_volume_may_take(path: str) -> None:
    with pytest.raises(ConfigError, match="no place"):
        volumes.mounts(BOTH, _container({"name": "data", "mountPath": path}), Path("/v"))


@pytest.mark.parametrize(
    ("pod", "mount", "word"),
    [
        (BOTH, {"name": "none", "mountPath": "/x"}, "none"),
        (BOTH, {"name": "data", "mountPath": "/x", "subPath": "a"}, "subPath"),
        (BOTH, {"name": "apps", "mountPath": "/x", "subPath": "../a"}, "subPath"),
        (BOTH, {"name": "data"}, "mountPath"),
        (
            _pod({"name": "h", "hostPath": {"path": "/"}}),
            {"name": "h", "mountPath": "/x"},
            "emptyDir, configMap",
        ),
        (_pod({"name": "h"}), {"name": "h", "mountPath": "/x"}, "must be"),
        (_pod({"name": "../h", "emptyDir": {}}), {"name": "h", "mountPath": "/x"}, "not a name"),
    ],
)
def test_what_cannot_be_mounted(pod: Pod, mount: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        volumes.mounts(pod, _container(mount), Path("/v"))


def test_volumes_are_made_and_made_again(tmp_path: Path) -> None:
    uid = os.getuid()
    for _ in range(2):
        volumes.materialise(BOTH, tmp_path, uid, {"apps": APPS})
        (tmp_path / "data" / "kept").write_text("x")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data" / "kept").exists()
    assert {path.name: path.read_bytes() for path in (tmp_path / "apps").iterdir()} == {
        "a.py": b"print(1)",
        "b": b"2",
        "c": b"\0",
    }
    assert (tmp_path / "apps" / "b").stat().st_mode & 0o777 == 0o644


def test_a_changed_config_map_changes_the_file_in_place(tmp_path: Path) -> None:
    volumes.materialise(BOTH, tmp_path, os.getuid(), {"apps": APPS})
    inode = (tmp_path / "apps" / "b").stat().st_ino
    volumes.materialise(BOTH, tmp_path, os.getuid(), {"apps": ConfigMap(data={"b": "3"})})
    assert (tmp_path / "apps" / "b").read_text() == "3"
    assert (tmp_path / "apps" / "b").stat().st_ino == inode


def test_items_choose_paths_and_modes(tmp_path: Path) -> None:
    source = {"name": "apps", "defaultMode": 0o640, "items": [{"key": "b", "path": "x/y", "mode": 0o755}]}
    volumes.materialise(_pod({"name": "v", "configMap": source}), tmp_path, 0, {"apps": APPS})
    assert (tmp_path / "v" / "x" / "y").stat().st_mode & 0o777 == 0o755
    assert [path.name for path in (tmp_path / "v").iterdir()] == ["x"]


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ({"name": "none"}, "does not exist"),
        ({"name": "apps", "items": [{"key": "z", "path": "z"}]}, "no key"),
        ({"name": "apps", "items": [{"key": "b", "path": "../b"}]}, r"without '\.\.'"),
        ({"name": "apps", "items": [{"key": "b", "path": "/b"}]}, "relative"),
        ({"name": "bad"}, "binaryData"),
    ],
)
def test_config_maps_that_cannot_be_shown(source: dict[str, Any], word: str, tmp_path: Path) -> None:
    known = {"apps": APPS, "bad": ConfigMap(binary_data={"x": "!"})}
    with pytest.raises(ConfigError, match=word):
        volumes.materialise(_pod({"name": "v", "configMap": source}), tmp_path, 0, known)


PROJECTED: list[dict[str, Any]] = [
    {"configMap": {"name": "apps", "items": [{"key": "b", "path": "conf/b"}]}},
    {
        "downwardAPI": {
            "items": [
                {"path": "name", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}, "mode": 0o600},
                {"path": "app", "fieldRef": {"fieldPath": "metadata.labels['app']"}},
            ]
        }
    },
]


def _named(*entries: dict[str, Any]) -> Pod:
    meta = ObjectMeta(name="web-1", labels={"tier": 'a "b"', "app": "web"})
    return Pod(metadata=meta, spec=PodSpec(volumes=entries))


def test_a_projected_volume_holds_the_files_of_all_its_sources(tmp_path: Path) -> None:
    pod = _named({"name": "v", "projected": {"sources": PROJECTED, "defaultMode": 0o440}})
    volumes.materialise(pod, tmp_path, 0, {"apps": APPS})
    place = tmp_path / "v"
    assert (place / "conf" / "b").read_text() == "2"
    assert (place / "name").read_text() == "web-1"
    assert (place / "labels").read_text() == 'app="web"\ntier="a \\"b\\""'
    assert (place / "app").read_text() == "web"
    assert {path: (place / path).stat().st_mode & 0o777 for path in ("conf/b", "name", "labels")} == {
        "conf/b": 0o440,
        "name": 0o440,
        "labels": 0o600,
    }
    assert volumes.mounts(pod, _container({"name": "v", "mountPath": "/v"}), Path("/x")) == (
        Mount("/x/v", "/v", False),
    )


def test_the_pod_as_files(tmp_path: Path) -> None:
    volumes.materialise(_named({"name": "v", **PROJECTED[1]}), tmp_path, 0, {})
    assert (tmp_path / "v" / "name").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("sources", "word"),
    [
        ([{}], "source 0"),
        ([{**PROJECTED[0], **PROJECTED[1]}], "source 0"),
        ([PROJECTED[1], PROJECTED[1]], "two sources"),
        ([{"serviceAccountToken": {"path": "token"}}], "only emptyDir"),
        ([{"secret": {"name": "x"}}], "only emptyDir"),
        (
            [{"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "status.podIP"}}]}}],
            "metadata",
        ),
        ([{"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.x"}}]}}], "unknown"),
        (
            [{"downwardAPI": {"items": [{"path": "../a", "fieldRef": {"fieldPath": "metadata.name"}}]}}],
            "relative",
        ),
    ],
)
def test_what_cannot_be_projected(sources: list[Any], word: str, tmp_path: Path) -> None:
    pod = _named({"name": "v", "projected": {"sources": sources}})
    with pytest.raises(ConfigError, match=word):
        volumes.materialise(pod, tmp_path, 0, {"apps": APPS})


def test_an_optional_config_map_may_be_missing(tmp_path: Path) -> None:
    pod = _pod({"name": "v", "configMap": {"name": "none", "optional": True}})
    volumes.materialise(pod, tmp_path, 0, {})
    assert list((tmp_path / "v").iterdir()) == []
