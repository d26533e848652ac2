"""A pod's volumes: which directories are made, and where each container sees them.

Supported are `emptyDir` (of the containers' user, 0700, gone with the pod) and files, which are read-only and
follow what they come from: of a `configMap`, of a `secret`, of the pod itself (`downwardAPI`), or of several
of those and tokens in one place (`projected`). They are in the node's run directory, which is in memory, and
belong to the containers' user. Anything that would show more of the machine is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tsujiban.agent import atomicwriter, volumefiles
from tsujiban.agent.objects import ConfigError, NotKnown, Objects
from tsujiban.agent.sandbox import HIDDEN, Mount
from tsujiban.agent.volumefiles import check_relative
from tsujiban.resources.kinds.core import Container, Pod
from tsujiban.resources.kinds.volumes import (
    ConfigMapProjection,
    SecretProjection,
    ServiceAccountTokenProjection,
    Volume,
    VolumeMount,
)

_KINDS = "emptyDir, configMap, secret, downwardAPI and projected"
_SUPPORTED = frozenset({"emptyDir", "configMap", "secret", "downwardAPI", "projected"})

FORBIDDEN = ("/", "/dev", "/proc", "/sys", "/etc", *HIDDEN)


def of(pod: Pod) -> dict[str, Volume]:
    """The volumes of a pod, by name. Raises ConfigError."""
    try:
        parsed = msgspec.convert(pod.spec.volumes or [], list[Volume])
    except msgspec.ValidationError as error:
        raise ConfigError(f"volumes: only {_KINDS} are supported: {error}") from None
    for volume in parsed:
        if len(volume.sources) != 1 or not _SUPPORTED.issuperset(volume.sources):
            raise ConfigError(f"volume {volume.name!r}: must be one of {_KINDS}")
        _check_component(f"volume {volume.name!r}", volume.name)
    return {volume.name: volume for volume in parsed}


def named(pod: Pod) -> set[tuple[str, str]]:
    """The ConfigMaps and Secrets that a pod's volumes are made of, as (plural, name). Raises ConfigError."""
    plurals = {ConfigMapProjection: "configmaps", SecretProjection: "secrets"}
    return {
        (plurals[type(source)], source.name)
        for volume in of(pod).values()
        for source in volumefiles.sources(volume)
        if isinstance(source, ConfigMapProjection | SecretProjection)
    }


def tokens(pod: Pod) -> Iterator[tuple[Volume, ServiceAccountTokenProjection]]:
    """The tokens that a pod's volumes hold. Raises ConfigError."""
    for volume in of(pod).values():
        for source in volumefiles.sources(volume):
            if isinstance(source, ServiceAccountTokenProjection):
                yield volume, source


def mounts(pod: Pod, container: Container, directory: Path) -> tuple[Mount, ...]:
    """What a container sees of the pod's volumes, which are in `directory`. Raises ConfigError."""
    volumes = of(pod)
    try:
        wanted = msgspec.convert(container.volume_mounts or [], list[VolumeMount])
    except msgspec.ValidationError as error:
        raise ConfigError(f"volumeMounts: {error}") from None
    found = []
    for entry in wanted:
        volume = volumes.get(entry.name)
        if volume is None:
            raise ConfigError(f"volumeMounts: no volume is named {entry.name!r}")
        path = entry.mount_path
        if not path.startswith("/") or os.path.normpath(path) != path.rstrip("/") or _forbidden(path):
            raise ConfigError(f"volumeMounts: mountPath {path!r} is no place for a volume")
        if entry.sub_path_expr:
            raise ConfigError("volumeMounts: subPathExpr is not supported; write subPath")
        source = directory / volume.name
        if entry.sub_path:
            check_relative("subPath", entry.sub_path)
            if volume.empty_dir is not None:  # its content is the container's, and may be a link
                raise ConfigError("volumeMounts: subPath is not supported for emptyDir volumes")
            source /= entry.sub_path
        found.append(
            Mount(str(source), path.rstrip("/"), volume.empty_dir is not None and not entry.read_only)
        )
    return tuple(found)


def materialise(pod: Pod, directory: Path, uid: int, objects: Objects) -> None:
    """Make the pod's volumes in `directory`, or bring them up to date; may be repeated. Every volume that can
    be is, before ConfigError or OSError is raised for one that cannot."""
    failed: list[ConfigError | OSError] = []
    for volume in of(pod).values():
        place = directory / volume.name
        try:
            if volume.empty_dir is None:
                _fill(pod, volume, place, uid, objects)
            elif not place.exists():
                place.mkdir(mode=0o700)
                os.chown(place, uid, uid)
        except (ConfigError, OSError) as error:
            failed.append(error)
    if failed:
        raise failed[0]


def _fill(pod: Pod, volume: Volume, place: Path, uid: int, objects: Objects) -> None:
    try:
        files = volumefiles.content(pod, volume, objects)
    except NotKnown:
        if atomicwriter.present(place) is None:
            raise
        return  # an agent that has just begun knows less than the one before it
    atomicwriter.write(place, files, uid)


def _forbidden(path: str) -> bool:
    plain = path.rstrip("/") or "/"
    if plain.startswith("//"):  # which normpath leaves alone (POSIX)
        return True
    inside = any(plain.startswith(top + "/") for top in ("/dev", "/proc", "/sys", *HIDDEN))
    return inside or plain in FORBIDDEN


def _check_component(what: str, name: str) -> None:
    if not name or "/" in name or name in (".", "..") or "\0" in name:
        raise ConfigError(f"{what}: {name!r} is not a name")
