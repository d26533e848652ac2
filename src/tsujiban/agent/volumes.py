"""A pod's volumes: which directories are made, and where each container sees them.

Supported are `emptyDir` (of the containers' user, 0700, gone with the pod) and files, which are read-only: of
a `configMap`, of the pod itself (`downwardAPI`), or of several of those in one place (`projected`). Anything
that would show more of the machine is refused.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from tsujiban.agent import podenv
from tsujiban.agent.podenv import ConfigError
from tsujiban.agent.sandbox import HIDDEN, Mount, write_file
from tsujiban.resources.kinds.core import ConfigMap, Container, Pod
from tsujiban.resources.kinds.meta import Shape

_KINDS = "emptyDir, configMap, downwardAPI and projected (of configMap and downwardAPI)"
_WHOLE = {"metadata.labels": "labels", "metadata.annotations": "annotations"}

FORBIDDEN = ("/", "/dev", "/proc", "/sys", "/etc", *HIDDEN)


_Files = dict[str, tuple[bytes, int]]  # content and mode by path


class _Item(Shape, frozen=True):
    key: str
    path: str
    mode: int | None = None


class _ConfigMapSource(Shape, frozen=True):
    name: str = ""
    items: tuple[_Item, ...] = ()
    default_mode: int | None = None
    optional: bool = False


class _FieldRef(Shape, frozen=True):
    field_path: str
    api_version: str = "v1"


class _FieldItem(Shape, frozen=True):
    path: str
    field_ref: _FieldRef
    mode: int | None = None


class _DownwardSource(Shape, frozen=True):
    items: tuple[_FieldItem, ...] = ()
    default_mode: int | None = None


class _Projection(Shape, frozen=True):
    config_map: _ConfigMapSource | None = None
    downward_api: _DownwardSource | None = msgspec.field(default=None, name="downwardAPI")


class _ProjectedSource(Shape, frozen=True):
    sources: tuple[_Projection, ...] = ()
    default_mode: int | None = None


class _EmptyDir(Shape, frozen=True):
    medium: str = ""
    size_limit: Any = None


class _Volume(Shape, frozen=True):
    name: str
    empty_dir: _EmptyDir | None = None
    config_map: _ConfigMapSource | None = None
    downward_api: _DownwardSource | None = msgspec.field(default=None, name="downwardAPI")
    projected: _ProjectedSource | None = None

    @property
    def sources(self) -> tuple[_EmptyDir | _ConfigMapSource | _DownwardSource | _ProjectedSource, ...]:
        """What it is of: one, when it is right."""
        every = (self.empty_dir, self.config_map, self.downward_api, self.projected)
        return tuple(source for source in every if source is not None)


class _VolumeMount(Shape, frozen=True):
    name: str
    mount_path: str
    read_only: bool = False
    sub_path: str = ""
    recursive_read_only: str | None = None
    mount_propagation: str | None = None


def _volumes(pod: Pod) -> dict[str, _Volume]:
    try:
        parsed = msgspec.convert(pod.spec.volumes or [], list[_Volume])
    except msgspec.ValidationError as error:
        raise ConfigError(f"volumes: only {_KINDS} are supported: {error}") from None
    for volume in parsed:
        if len(volume.sources) != 1:
            raise ConfigError(f"volume {volume.name!r}: must be one of {_KINDS}")
        _check_component(f"volume {volume.name!r}", volume.name)
    return {volume.name: volume for volume in parsed}


def mounts(pod: Pod, container: Container, directory: Path) -> tuple[Mount, ...]:
    """What a container sees of the pod's volumes, which are in `directory`. Raises ConfigError."""
    volumes = _volumes(pod)
    try:
        wanted = msgspec.convert(container.volume_mounts or [], list[_VolumeMount])
    except msgspec.ValidationError as error:
        raise ConfigError(f"volumeMounts: {error}") from None
    found = []
    for entry in wanted:
        volume = volumes.get(entry.name)
        if volume is None:
            raise ConfigError(f"volumeMounts: no volume is named {entry.name!r}")
        path = entry.mount_path
        if not path.startswith("/") or os.path.normpath(path) != path.rstrip("/") or _forbidden(path):
            raise ConfigError(f"volumeMounts: {path!r} is no place for a volume")
        source = directory / volume.name
        if entry.sub_path:
            _check_relative("subPath", entry.sub_path)
            if volume.empty_dir is not None:  # its content is the container's, and may be a link
                raise ConfigError("volumeMounts: subPath is not supported for emptyDir volumes")
            source /= entry.sub_path
        found.append(
            Mount(str(source), path.rstrip("/"), volume.empty_dir is not None and not entry.read_only)
        )
    return tuple(found)


def materialise(pod: Pod, directory: Path, uid: int, config_maps: Mapping[str, ConfigMap]) -> None:
    """Make the pod's volumes in `directory`; may be repeated. Raises ConfigError, OSError.

    `config_maps` are those of the pod's namespace, by name.
    """
    for volume in _volumes(pod).values():
        place = directory / volume.name
        if volume.empty_dir is not None:
            if not place.exists():
                place.mkdir(mode=0o700)
                os.chown(place, uid, uid)
            continue
        place.mkdir(mode=0o755, exist_ok=True)
        for name, (content, mode) in _content(pod, volume, config_maps).items():
            target = place / name
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            write_file(target, content, mode)


def _content(pod: Pod, volume: _Volume, config_maps: Mapping[str, ConfigMap]) -> _Files:
    """The files of a volume. Of a projected one, no two sources may have the same."""
    files: _Files = {}
    for part in _parts(volume):
        found = _files(part, config_maps) if isinstance(part, _ConfigMapSource) else _fields(pod, part)
        twice = sorted(files.keys() & found.keys())
        if twice:
            raise ConfigError(f"volume {volume.name!r}: two sources have the file {twice[0]!r}")
        files |= found
    return files


def _parts(volume: _Volume) -> Iterator[_ConfigMapSource | _DownwardSource]:
    """What files come from; the modes of a projected volume are those of its parts."""
    if volume.config_map is not None:
        yield volume.config_map
    if volume.downward_api is not None:
        yield volume.downward_api
    if volume.projected is None:
        return
    for number, source in enumerate(volume.projected.sources):
        found = [part for part in (source.config_map, source.downward_api) if part is not None]
        if len(found) != 1:
            raise ConfigError(f"volume {volume.name!r}: source {number} must be a configMap or a downwardAPI")
        yield msgspec.structs.replace(found[0], default_mode=volume.projected.default_mode)


def _fields(pod: Pod, source: _DownwardSource) -> _Files:
    files: _Files = {}
    for item in source.items:
        _check_relative("downwardAPI", item.path)
        path = item.field_ref.field_path
        if not path.startswith("metadata."):
            raise ConfigError(f"downwardAPI: {path!r} is no field of metadata, and only those can be files")
        if path in _WHOLE:
            table: Mapping[str, str] = getattr(pod.metadata, _WHOLE[path])
            lines = (f"{key}={msgspec.json.encode(value).decode()}" for key, value in sorted(table.items()))
            content = "\n".join(lines)
        else:
            content = podenv.field(pod, path, {})
        files[item.path] = content.encode(), _mode(source, item)
    return files


def _mode(source: _ConfigMapSource | _DownwardSource, item: _Item | _FieldItem) -> int:
    usual = 0o644 if source.default_mode is None else source.default_mode
    return (usual if item.mode is None else item.mode) & 0o777


def _files(source: _ConfigMapSource, config_maps: Mapping[str, ConfigMap]) -> _Files:
    config_map = config_maps.get(source.name)
    if config_map is None:
        if source.optional:
            return {}
        raise ConfigError(f"configMap {source.name!r} does not exist")
    data = {key: value.encode() for key, value in config_map.data.items()}
    try:
        data |= {key: base64.b64decode(value, validate=True) for key, value in config_map.binary_data.items()}
    except binascii.Error as error:
        raise ConfigError(f"configMap {source.name!r}: binaryData: {error}") from None
    items = source.items or tuple(_Item(key=key, path=key) for key in data)
    files = {}
    for item in items:
        _check_relative(f"configMap {source.name!r}", item.path)
        if item.key not in data:
            if source.optional:
                continue
            raise ConfigError(f"configMap {source.name!r} has no key {item.key!r}")
        files[item.path] = data[item.key], _mode(source, item)
    return files


def _forbidden(path: str) -> bool:
    plain = path.rstrip("/") or "/"
    if plain.startswith("//"):  # which normpath leaves alone (POSIX)
        return True
    inside = any(plain.startswith(top + "/") for top in ("/dev", "/proc", "/sys", *HIDDEN))
    return inside or plain in FORBIDDEN


def _check_component(what: str, name: str) -> None:
    if not name or "/" in name or name in (".", "..") or "\0" in name:
        raise ConfigError(f"{what}: {name!r} is not a name")


def _check_relative(what: str, path: str) -> None:
    if path.startswith("/") or "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise ConfigError(f"{what}: {path!r} must be a relative path without '..'")
