"""A pod's volumes and what containers mount of them, in the real server's words.

Source: the answers of Kubernetes' API server to such pods (v1.34).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from tsujiban.resources.kinds import core
from tsujiban.resources.kinds import volumes as kinds
from tsujiban.resources.positions import Path
from tsujiban.resources.shape import convert
from tsujiban.resources.validate import fieldrefs, names
from tsujiban.resources.validate.fieldrefs import invalid, quoted
from tsujiban.resources.validate.report import Report

T = TypeVar("T", bound=msgspec.Struct)

MAX_MODE = 0o777
MAX_SECONDS = 1 << 32
FIELDS = ("metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations", "metadata.uid")
_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an alphanumeric character"
)
_TWICE = "conflicting duplicate paths"
_MORE = "may not specify more than 1 volume type"


def check_volumes(spec: core.PodSpec, path: Path, report: Report) -> Mapping[str, kinds.Volume]:
    """All volumes of a pod; those that have a name, by it."""
    found: dict[str, kinds.Volume] = {}
    for index, raw in enumerate(spec.volumes or ()):
        here = (*path, "volumes", index)
        volume = _shaped(raw, kinds.Volume, here, report)
        if volume is None:
            continue
        if report.required((*here, "name"), volume.name):
            if not names.is_label(volume.name):
                report.error((*here, "name"), "bad-name", invalid(volume.name, _LABEL))
            if volume.name in found:
                report.error((*here, "name"), "duplicate", f"Duplicate value: {quoted(volume.name)}")
            found[volume.name] = volume
        _sources(volume, here, report)
    return found


def check_mounts(
    container: core.Container, volumes: Mapping[str, kinds.Volume] | None, path: Path, report: Report
) -> None:
    """What a container mounts of the pod's `volumes`; None: others will be there, too."""
    taken: set[str] = set()
    for index, raw in enumerate(container.volume_mounts or ()):
        here = (*path, "volumeMounts", index)
        mount = _shaped(raw, kinds.VolumeMount, here, report)
        if mount is None:
            continue
        known = report.required((*here, "name"), mount.name)
        if known and volumes is not None and mount.name not in volumes:
            report.error((*here, "name"), "bad-value", f"Not found: {quoted(mount.name)}")
        if report.required((*here, "mountPath"), mount.mount_path):
            if mount.mount_path in taken:
                message = invalid(mount.mount_path, "must be unique")
                report.error((*here, "mountPath"), "duplicate", message)
            taken.add(mount.mount_path)
        if mount.sub_path and mount.sub_path_expr:
            message = "subPathExpr and subPath are mutually exclusive"
            report.error((*here, "subPathExpr"), "conflict", invalid(mount.sub_path_expr, message))
        for field, text in (("subPath", mount.sub_path), ("subPathExpr", mount.sub_path_expr)):
            _descending(text, (*here, field), report)


def _sources(volume: kinds.Volume, path: Path, report: Report) -> None:
    found = volume.sources
    if not found:
        report.error(path, "missing-field", "Required value: must specify a volume type")
    for field in found[1:]:
        report.error((*path, field), "conflict", f"Forbidden: {_MORE}")
    config_map, secret = volume.config_map, volume.secret
    if config_map is not None:
        here = (*path, "configMap")
        report.required((*here, "name"), config_map.name)
        _mode(config_map.default_mode, (*here, "defaultMode"), report)
        _items(config_map.items, (*here, "items"), report)
    if secret is not None:
        here = (*path, "secret")
        report.required((*here, "secretName"), secret.secret_name)
        _mode(secret.default_mode, (*here, "defaultMode"), report)
        _items(secret.items, (*here, "items"), report)
    if volume.downward_api is not None:
        here = (*path, "downwardAPI")
        _mode(volume.downward_api.default_mode, (*here, "defaultMode"), report)
        _files(volume.downward_api.items, (*here, "items"), report)
    if volume.projected is not None:
        _projected(volume.projected, (*path, "projected"), report)


def _projected(source: kinds.ProjectedVolumeSource, path: Path, report: Report) -> None:
    _mode(source.default_mode, (*path, "defaultMode"), report)
    seen: set[str] = set()
    for index, projection in enumerate(source.sources):
        here = (*path, "sources", index)
        present = [name for name, value in _fields(projection) if value is not None]
        if len(present) > 1:
            report.error(here, "conflict", f"Forbidden: {_MORE}")
        elif not present:
            report.error(here, "missing-field", "Required value: must specify a volume type")
        for name, value in _fields(projection):
            if value is not None:
                for file in _projection(value, (*here, name), report):
                    if file in seen:
                        report.error(path, "duplicate", invalid(file, _TWICE))
                    seen.add(file)


def _projection(value: Any, path: Path, report: Report) -> Iterator[str]:
    """Judge one source; the paths that it says."""
    match value:
        case kinds.SecretProjection() | kinds.ConfigMapProjection():
            report.required((*path, "name"), value.name)
            _items(value.items, (*path, "items"), report)
            yield from (item.path for item in value.items if item.path)
        case kinds.DownwardAPIProjection():
            _files(value.items, (*path, "items"), report)
            yield from (item.path for item in value.items if item.path)
        case kinds.ServiceAccountTokenProjection():
            seconds, here = value.seconds, (*path, "expirationSeconds")
            if seconds < kinds.MIN_SECONDS:
                message = "may not specify a duration less than 10 minutes"
                report.error(here, "out-of-range", f"Invalid value: {seconds}: {message}")
            elif seconds > MAX_SECONDS:
                message = "may not specify a duration larger than 2^32 seconds"
                report.error(here, "out-of-range", f"Invalid value: {seconds}: {message}")
            _path(value.path, (*path, "path"), report)
            if value.path:
                yield value.path


def _items(items: Sequence[kinds.KeyToPath], path: Path, report: Report) -> None:
    for index, item in enumerate(items):
        report.required((*path, index, "key"), item.key)
        _path(item.path, (*path, index, "path"), report)
        _mode(item.mode, (*path, index, "mode"), report)


def _files(items: Sequence[kinds.DownwardAPIVolumeFile], path: Path, report: Report) -> None:
    for index, item in enumerate(items):
        here = (*path, index)
        _path(item.path, (*here, "path"), report)
        _mode(item.mode, (*here, "mode"), report)
        if item.field_ref is not None and item.resource_field_ref is not None:
            message = "fieldRef and resourceFieldRef can not be specified simultaneously"
            report.error(here, "conflict", invalid("resource", message))
        elif item.field_ref is not None:
            fieldrefs.check_field(item.field_ref, FIELDS, (*here, "fieldRef"), report)
        elif (resource := item.resource_field_ref) is not None:
            fieldrefs.check_resource(resource, (*here, "resourceFieldRef"), report, in_container=False)
        else:
            message = "Required value: one of fieldRef and resourceFieldRef is required"
            report.error(here, "missing-field", message)


def _path(text: str, path: Path, report: Report) -> None:
    """A file's place in a volume."""
    if report.required(path, text):
        _descending(text, path, report)
        if text.startswith("..") and not text.startswith("../"):
            report.error(path, "bad-value", invalid(text, "must not start with '..'"))


def _descending(text: str, path: Path, report: Report) -> None:
    if text.startswith("/"):
        report.error(path, "bad-value", invalid(text, "must be a relative path"))
    if ".." in text.split("/"):
        report.error(path, "bad-value", invalid(text, "must not contain '..'"))


def _mode(mode: int | None, path: Path, report: Report) -> None:
    if mode is not None and not 0 <= mode <= MAX_MODE:
        message = "must be a number between 0 and 0777 (octal), both inclusive"
        report.error(path, "out-of-range", f"Invalid value: {mode}: {message}")


def _shaped(raw: Mapping[str, Any], to: type[T], path: Path, report: Report) -> T | None:
    found, problems = convert(raw, to, nulls=False)
    report.within(path, problems)
    return found


def _fields(projection: kinds.VolumeProjection) -> list[tuple[str, Any]]:
    names_of = projection.__struct_encode_fields__
    return list(zip(names_of, msgspec.structs.astuple(projection), strict=True))
