import base64
import os
from pathlib import Path
from typing import Any

import pytest

from tsujiban.agent import volumes
from tsujiban.agent.objects import ConfigError, Objects
from tsujiban.agent.sandbox import Mount
from tsujiban.resources.kinds.core import ConfigMap, Container, Pod, PodSpec
from tsujiban.resources.kinds.meta import ObjectMeta

APPS = ConfigMap(data={"a.py": "print(1)", "b": "2"}, binary_data={"c": base64.b64encode(b"\0").decode()})


def _pod(*entries: dict[str, Any]) -> Pod:
    return Pod(spec=PodSpec(volumes=entries))


def _container(*entries: dict[str, Any]) -> Container:
    return Container(name="c", volume_mounts=entries)


KNOWN = Objects(config_maps={"apps": APPS}, secrets={"keys": {"id": b"x", "token": b"\xff"}, "gone": None})
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
        (BOTH, {"name": "apps", "mountPath": "/x", "subPathExpr": "a"}, "subPathExpr"),
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
        volumes.materialise(BOTH, tmp_path, uid, KNOWN)
        (tmp_path / "data" / "kept").write_text("x")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data" / "kept").exists()
    assert contents(tmp_path / "apps") == {
        "a.py": b"print(1)",
        "b": b"2",
        "c": b"\0",
    }
    assert (tmp_path / "apps" / "b").stat().st_mode & 0o777 == 0o644


def contents(place: Path) -> dict[str, bytes]:
    """What a container sees in a volume: all but what begins with `..`."""
    shown = [entry for entry in place.iterdir() if not entry.name.startswith("..")]
    files = [file for entry in shown for file in ([entry] if entry.is_file() else entry.rglob("*"))]
    return {str(file.relative_to(place)): file.read_bytes() for file in files if file.is_file()}


def test_a_changed_config_map_changes_the_files(tmp_path: Path) -> None:
    volumes.materialise(BOTH, tmp_path, os.getuid(), KNOWN)
    changed = Objects(config_maps={"apps": ConfigMap(data={"b": "3"})})
    volumes.materialise(BOTH, tmp_path, os.getuid(), changed)
    assert contents(tmp_path / "apps") == {"b": b"3"}


def test_one_volume_that_cannot_be_made_keeps_no_other_from_it(tmp_path: Path) -> None:
    pod = _pod({"name": "a", "configMap": {"name": "none"}}, {"name": "b", "configMap": {"name": "apps"}})
    with pytest.raises(ConfigError, match="'none' does not exist"):
        volumes.materialise(pod, tmp_path, os.getuid(), KNOWN)
    assert contents(tmp_path / "b")["b"] == b"2"


SECRETS = _pod({"name": "v", "secret": {"secretName": "keys", "defaultMode": 0o400}})


def test_a_secret(tmp_path: Path) -> None:
    volumes.materialise(SECRETS, tmp_path, os.getuid(), KNOWN)
    assert contents(tmp_path / "v") == {"id": b"x", "token": b"\xff"}
    assert (tmp_path / "v" / "id").stat().st_mode & 0o777 == 0o400
    assert (tmp_path / "v" / "id").stat().st_uid == os.getuid()
    assert "xff" not in repr(KNOWN)


def test_a_secret_that_is_not_known_yet_leaves_what_is_there(tmp_path: Path) -> None:
    """An agent that has just begun has no Secrets until a controller sends them; one that is gone is gone."""
    with pytest.raises(ConfigError, match="not sent it yet"):
        volumes.materialise(SECRETS, tmp_path, os.getuid(), Objects())
    volumes.materialise(SECRETS, tmp_path, os.getuid(), KNOWN)
    volumes.materialise(SECRETS, tmp_path, os.getuid(), Objects())
    assert contents(tmp_path / "v")["id"] == b"x"
    with pytest.raises(ConfigError, match="does not exist"):
        volumes.materialise(SECRETS, tmp_path, os.getuid(), Objects(secrets={"keys": None}))
    assert contents(tmp_path / "v")["id"] == b"x"  # as the kubelet: what runs keeps what it had


def test_what_a_pod_is_made_of(tmp_path: Path) -> None:
    pod = _pod(
        {"name": "a", "secret": {"secretName": "keys"}},
        {
            "name": "b",
            "projected": {
                "sources": [
                    {"secret": {"name": "more"}},
                    {"configMap": {"name": "apps"}},
                    {"serviceAccountToken": {"path": "t", "audience": "vault", "expirationSeconds": 700}},
                    {"serviceAccountToken": {"path": "u"}},
                ]
            },
        },
    )
    assert volumes.named(pod) == {("secrets", "keys"), ("secrets", "more"), ("configmaps", "apps")}
    found = [(volume.name, one.path, one.audience, one.seconds) for volume, one in volumes.tokens(pod)]
    assert found == [("b", "t", "vault", 700), ("b", "u", "", 3600)]


def test_items_choose_paths_and_modes(tmp_path: Path) -> None:
    source = {"name": "apps", "defaultMode": 0o640, "items": [{"key": "b", "path": "x/y", "mode": 0o755}]}
    volumes.materialise(_pod({"name": "v", "configMap": source}), tmp_path, os.getuid(), KNOWN)
    assert (tmp_path / "v" / "x" / "y").stat().st_mode & 0o777 == 0o755
    assert list(contents(tmp_path / "v")) == ["x/y"]


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
        volumes.materialise(
            _pod({"name": "v", "configMap": source}), tmp_path, os.getuid(), Objects(config_maps=known)
        )


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
    volumes.materialise(pod, tmp_path, os.getuid(), KNOWN)
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
    volumes.materialise(_named({"name": "v", **PROJECTED[1]}), tmp_path, os.getuid(), Objects())
    assert (tmp_path / "v" / "name").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("sources", "word"),
    [
        ([{}], "source 0"),
        ([{**PROJECTED[0], **PROJECTED[1]}], "source 0"),
        ([PROJECTED[1], PROJECTED[1]], "two sources"),
        ([{"serviceAccountToken": {"path": "token"}}], "no token for 'token' yet"),
        ([{"serviceAccountToken": {"path": "..token"}}], "must not start"),
        ([{"clusterTrustBundle": {"path": "x"}}], "source 0"),
        ([{"secret": {"name": "x"}}], "not sent it yet"),
        ([{"secret": {"name": "gone"}}], "does not exist"),
        ([{"secret": {"name": "keys", "items": [{"key": "no", "path": "no"}]}}], "no key 'no'"),
        (
            [{"downwardAPI": {"items": [{"path": "a"}]}}],
            "must be of a fieldRef or a resourceFieldRef",
        ),
        (
            [
                {
                    "downwardAPI": {
                        "items": [
                            {
                                "path": "a",
                                "resourceFieldRef": {"containerName": "z", "resource": "limits.cpu"},
                            }
                        ]
                    }
                }
            ],
            "container 'z' not found",
        ),
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
        volumes.materialise(pod, tmp_path, os.getuid(), KNOWN)


def test_an_optional_config_map_may_be_missing(tmp_path: Path) -> None:
    pod = _pod({"name": "v", "configMap": {"name": "none", "optional": True}})
    volumes.materialise(pod, tmp_path, os.getuid(), Objects())
    assert contents(tmp_path / "v") == {}
