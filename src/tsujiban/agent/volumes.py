"""A pod's volumes: which directories are made, and where each container sees them.

Supported are `emptyDir` (of the containers' user, 0700, gone with the pod) and `configMap`
(files, read-only). Anything that would show more of the machine is refused.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tsujiban.agent.podenv import ConfigError
from tsujiban.agent.sandbox import HIDDEN, Mount, write_file
from tsujiban.resources.kinds.core import ConfigMap, Container, Pod
from tsujiban.resources.kinds.meta import Shape

FORBIDDEN = ("/", "/dev", "/proc", "/sys", "/etc", *HIDDEN)


class _Item(Shape, frozen=True):
    key: str
    path: str
    mode: int | None = None


class _ConfigMapSource(Shape, frozen=True):
    name: str = ""
    items: tuple[_Item, ...] = ()
    default_mode: int | None = None
    optional: bool = False


class _EmptyDir(Shape, frozen=True):
    medium: str = ""
    size_limit: Any = None


class _Volume(Shape, frozen=True):
    name: str
    empty_dir: _EmptyDir | None = None
    config_map: _ConfigMapSource | None = None


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
        raise ConfigError(f"volumes: only emptyDir and configMap are supported: {error}") from None
    for volume in parsed:
        if (volume.empty_dir is None) == (volume.config_map is None):
            raise ConfigError(f"volume {volume.name!r}: must be an emptyDir or a configMap")
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
            if volume.config_map is None:  # its content is the container's, and may be a link
                raise ConfigError("volumeMounts: subPath is supported for configMap volumes only")
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
        if volume.config_map is None:
            if not place.exists():
                place.mkdir(mode=0o700)
                os.chown(place, uid, uid)
            continue
        place.mkdir(mode=0o755, exist_ok=True)
        files = _files(volume.config_map, config_maps)
        for name, (content, mode) in files.items():
            target = place / name
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            write_file(target, content, mode)


def _files(source: _ConfigMapSource, config_maps: Mapping[str, ConfigMap]) -> dict[str, tuple[bytes, int]]:
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
    mode = 0o644 if source.default_mode is None else source.default_mode
    files = {}
    for item in items:
        _check_relative(f"configMap {source.name!r}", item.path)
        if item.key not in data:
            if source.optional:
                continue
            raise ConfigError(f"configMap {source.name!r} has no key {item.key!r}")
        files[item.path] = (data[item.key], (mode if item.mode is None else item.mode) & 0o777)
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
