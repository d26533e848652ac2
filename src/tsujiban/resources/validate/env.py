"""A container's environment, in the real server's words.

Which names a variable may have: printable ASCII without `=`, as since Kubernetes 1.34 (before, only those
that a shell takes). Source: the answers of Kubernetes' API server to such pods (v1.34).
"""

from __future__ import annotations

import re

from tsujiban.resources.kinds import core
from tsujiban.resources.kinds.env import (
    EnvFromSource,
    EnvSource,
    EnvVar,
    EnvVarSource,
    FileKeySelector,
    KeySelector,
)
from tsujiban.resources.positions import Path
from tsujiban.resources.validate import data, names
from tsujiban.resources.validate.fieldrefs import check_field, check_resource, demanded, invalid
from tsujiban.resources.validate.report import Report

FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_NAME = re.compile(r"[ -<>-~]+")
_NAMES = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character"
)
_ONE = "may not have more than one field specified at a time"
_OF_VALUE = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
_OF_ALL = "must specify one of: `configMapRef` or `secretRef`"


def check_environment(container: core.Container, path: Path, report: Report) -> None:
    """All variables of a container."""
    for index, source in enumerate(container.env_from):
        _from(source, (*path, "envFrom"), index, report)
    for index, variable in enumerate(container.env):
        _variable(variable, (*path, "env", index), report)


def _variable(variable: EnvVar, path: Path, report: Report) -> None:
    here = (*path, "name")
    if demanded(variable.name, here, report):
        _name(variable.name, here, report)
    source, here = variable.value_from, (*path, "valueFrom")
    if source is None:
        return
    found = _sources(source, here, report)
    if not found:
        report.error(here, "missing-field", invalid("", _OF_VALUE))
    elif variable.value:
        report.error(here, "conflict", invalid("", "may not be specified when `value` is not empty"))
    elif found > 1:
        report.error(here, "conflict", invalid("", _ONE))


def _sources(source: EnvVarSource, path: Path, report: Report) -> int:
    """Judge what a value may come from; how many there are."""
    if source.field_ref is not None:
        check_field(source.field_ref, FIELDS, (*path, "fieldRef"), report)
    if source.resource_field_ref is not None:
        check_resource(source.resource_field_ref, (*path, "resourceFieldRef"), report, in_container=True)
    if source.config_map_key_ref is not None:
        _key(source.config_map_key_ref, (*path, "configMapKeyRef"), report)
    if source.secret_key_ref is not None:
        _key(source.secret_key_ref, (*path, "secretKeyRef"), report)
    if source.file_key_ref is not None:
        _file(source.file_key_ref, (*path, "fileKeyRef"), report)
    alternatives = (
        source.field_ref,
        source.resource_field_ref,
        source.config_map_key_ref,
        source.secret_key_ref,
        source.file_key_ref,
    )
    return sum(one is not None for one in alternatives)


def _key(source: KeySelector, path: Path, report: Report) -> None:
    _object(source.name, (*path, "name"), report)
    here = (*path, "key")
    if demanded(source.key, here, report) and (problem := data.key_problem(source.key)):
        report.error(here, "bad-name", invalid(source.key, problem))


def _file(source: FileKeySelector, path: Path, report: Report) -> None:
    for field, value in (("volumeName", source.volume_name), ("path", source.path), ("key", source.key)):
        demanded(value, (*path, field), report)


def _from(source: EnvFromSource, path: Path, index: int, report: Report) -> None:
    if source.prefix:
        _name(source.prefix, (*path, index, "prefix"), report)
    refs: tuple[tuple[str, EnvSource | None], ...] = (
        ("configMapRef", source.config_map_ref),
        ("secretRef", source.secret_ref),
    )
    found = [(field, ref) for field, ref in refs if ref is not None]
    for field, ref in found:
        _object(ref.name, (*path, index, field, "name"), report)
    if len(found) != 1:  # at the list, as the real server has it
        code, problem = ("conflict", _ONE) if found else ("missing-field", _OF_ALL)
        report.error(path, code, invalid("", problem))


def _name(name: str, path: Path, report: Report) -> None:
    if not _NAME.fullmatch(name):
        report.error(path, "bad-name", invalid(name, _NAMES))


def _object(name: str, path: Path, report: Report) -> None:
    if demanded(name, path, report) and not names.is_subdomain(name):
        report.error(path, "bad-name", invalid(name, _SUBDOMAIN))
