"""What files a pod's volume holds: of ConfigMaps, Secrets, the pod itself and tokens of its account. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping

import msgspec

from tsujiban.agent import podenv, podresources
from tsujiban.agent.objects import ConfigError, NotKnown, Objects, Values
from tsujiban.resources.kinds.core import Pod
from tsujiban.resources.kinds.volumes import (
    ConfigMapProjection,
    DownwardAPIProjection,
    DownwardAPIVolumeFile,
    KeyToPath,
    SecretProjection,
    ServiceAccountTokenProjection,
    Volume,
    VolumeProjection,
)

USUAL_MODE = 0o644
TOKEN_MODE = 0o600  # the containers of a pod have one user, so the kubelet would say the same
_WHOLE = {"metadata.labels": "labels", "metadata.annotations": "annotations"}
_PROJECTED = "a configMap, secret, downwardAPI or serviceAccountToken"

Files = dict[str, tuple[bytes, int]]  # content and mode by path
Source = ConfigMapProjection | SecretProjection | DownwardAPIProjection | ServiceAccountTokenProjection


def content(pod: Pod, volume: Volume, objects: Objects) -> Files:
    """The files of a volume. Of a projected one, no two sources may have the same. Raises ConfigError."""
    usual = _default_mode(volume)
    files: Files = {}
    for source in sources(volume):
        match source:
            case ConfigMapProjection():
                found = _of_config_map(source, objects, usual)
            case SecretProjection():
                found = _of_secret(source, objects, usual)
            case DownwardAPIProjection():
                found = _of_pod(pod, source, usual)
            case ServiceAccountTokenProjection():
                found = _of_account(volume, source, objects)
        twice = sorted(files.keys() & found.keys())
        if twice:
            raise ConfigError(f"volume {volume.name!r}: two sources have the file {twice[0]!r}")
        files |= found
    return files


def sources(volume: Volume) -> Iterator[Source]:
    """What its files come from; a volume of one source as if it were projected. Raises ConfigError."""
    if (config_map := volume.config_map) is not None:
        yield ConfigMapProjection(name=config_map.name, items=config_map.items, optional=config_map.optional)
    if (secret := volume.secret) is not None:
        yield SecretProjection(name=secret.secret_name, items=secret.items, optional=secret.optional)
    if volume.downward_api is not None:
        yield DownwardAPIProjection(items=volume.downward_api.items)
    if volume.projected is not None:
        for number, projection in enumerate(volume.projected.sources):
            yield _only(volume, number, projection)


def check_relative(what: str, path: str) -> None:
    """Raise ConfigError for a path that is none inside a volume."""
    parts = path.split("/")
    if path.startswith("/") or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise ConfigError(f"{what}: {path!r} must be a relative path without '..'")
    if parts[0].startswith(".."):
        raise ConfigError(f"{what}: {path!r} must not start with '..'")


def _only(volume: Volume, number: int, projection: VolumeProjection) -> Source:
    found = [one for one in msgspec.structs.astuple(projection) if one is not None]
    if len(found) != 1 or not isinstance(found[0], Source):
        raise ConfigError(f"volume {volume.name!r}: source {number} must be {_PROJECTED}")
    return found[0]


def _default_mode(volume: Volume) -> int:
    for source in (volume.config_map, volume.secret, volume.downward_api, volume.projected):
        if source is not None and source.default_mode is not None:
            return source.default_mode & 0o777
    return USUAL_MODE


def _of_config_map(source: ConfigMapProjection, objects: Objects, usual: int) -> Files:
    title = f"configMap {source.name!r}"
    config_map = objects.config_maps.get(source.name)
    if config_map is None:
        return _absent(title, source)
    data = {key: value.encode() for key, value in config_map.data.items()}
    try:
        data |= {key: base64.b64decode(value, validate=True) for key, value in config_map.binary_data.items()}
    except binascii.Error as error:
        raise ConfigError(f"{title}: binaryData: {error}") from None
    return _keys(title, data, source, usual)


def _of_secret(source: SecretProjection, objects: Objects, usual: int) -> Files:
    title = f"secret {source.name!r}"
    data = objects.secret(source.name)
    return _absent(title, source) if data is None else _keys(title, data, source, usual)


def _absent(title: str, source: ConfigMapProjection | SecretProjection) -> Files:
    if source.optional:
        return {}
    raise ConfigError(f"{title} does not exist")


def _keys(title: str, data: Values, source: ConfigMapProjection | SecretProjection, usual: int) -> Files:
    files: Files = {}
    for item in source.items or tuple(KeyToPath(key=key, path=key) for key in data):
        check_relative(title, item.path)
        if item.key in data:
            files[item.path] = data[item.key], _mode(item, usual)
        elif not source.optional:
            raise ConfigError(f"{title} has no key {item.key!r}")
    return files


def _of_pod(pod: Pod, source: DownwardAPIProjection, usual: int) -> Files:
    files: Files = {}
    for item in source.items:
        check_relative("downwardAPI", item.path)
        if item.field_ref is None:
            if item.resource_field_ref is None:
                raise ConfigError("downwardAPI: must be of a fieldRef or a resourceFieldRef")
            text = podresources.value(pod, None, item.resource_field_ref)
            files[item.path] = text.encode(), _mode(item, usual)
            continue
        path = item.field_ref.field_path
        if not path.startswith("metadata."):
            raise ConfigError(f"downwardAPI: {path!r} is no field of metadata, and only those can be files")
        if path in _WHOLE:
            table: Mapping[str, str] = getattr(pod.metadata, _WHOLE[path])
            lines = (f"{key}={msgspec.json.encode(value).decode()}" for key, value in sorted(table.items()))
            text = "\n".join(lines)
        else:
            text = podenv.field(pod, path, {})
        files[item.path] = text.encode(), _mode(item, usual)
    return files


def _of_account(volume: Volume, source: ServiceAccountTokenProjection, objects: Objects) -> Files:
    check_relative("serviceAccountToken", source.path)
    token = objects.tokens.get((volume.name, source.path))
    if token is None:
        raise NotKnown(f"volume {volume.name!r}: there is no token for {source.path!r} yet")
    return {source.path: (token, TOKEN_MODE)}


def _mode(item: KeyToPath | DownwardAPIVolumeFile, usual: int) -> int:
    return usual if item.mode is None else item.mode & 0o777
