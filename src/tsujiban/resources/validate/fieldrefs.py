"""What a file or a variable may tell of its pod and of its container, in the real server's words.

Source: the answers of Kubernetes' API server (v1.34).
"""

from __future__ import annotations

import re
from collections.abc import Collection

import msgspec

from tsujiban.resources import quantities
from tsujiban.resources.kinds.env import ObjectFieldSelector, ResourceFieldSelector
from tsujiban.resources.positions import Path
from tsujiban.resources.validate import names
from tsujiban.resources.validate.report import Report

_KNOWN = frozenset(
    {
        "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid",
        "spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "spec.schedulerName",
        "status.phase", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
    }
)  # fmt: skip
_SUBSCRIPT = re.compile(r"(.*)\['([^']*)'\]")
_SUBSCRIPTED = ("metadata.annotations", "metadata.labels")
_RESOURCES = tuple(
    f"{bound}.{name}" for bound in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")
)
_HUGE_PAGES = ("limits.hugepages-", "requests.hugepages-")
_DIVISORS = {"cpu": ("1m", "1")}
_BYTES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")


def check_field(reference: ObjectFieldSelector, allowed: Collection[str], path: Path, report: Report) -> None:
    """A field of the pod. `allowed` are those without a subscript that may stand here."""
    text, here = reference.field_path, (*path, "fieldPath")
    if reference.api_version not in ("", "v1"):
        unsupported = f"unsupported pod version: {reference.api_version[:64]}"
        report.error(here, "bad-value", invalid(text, f"error converting fieldPath: {unsupported}"))
    elif demanded(text, here, report):
        _path(text, allowed, here, report)


def _path(text: str, allowed: Collection[str], path: Path, report: Report) -> None:
    subscript = _SUBSCRIPT.fullmatch(text)
    if subscript is not None and subscript[1] in _SUBSCRIPTED:
        key = subscript[2].lower() if subscript[1] == "metadata.annotations" else subscript[2]
        if problem := names.key_problem(key):
            report.error(path, "bad-value", invalid(subscript[2], problem))
    elif subscript is not None:
        problem = f"error converting fieldPath: field label does not support subscript: {text[:64]}"
        report.error(path, "bad-value", invalid(text, problem))
    elif text not in _KNOWN:
        problem = f"error converting fieldPath: field label not supported: {text[:64]}"
        report.error(path, "bad-value", invalid(text, problem))
    elif text not in allowed:
        report.error(path, "bad-value", not_supported(text, sorted(allowed)))


def check_resource(
    reference: ResourceFieldSelector, path: Path, report: Report, *, in_container: bool
) -> None:
    """A request or limit. Where it is told `in_container`, a container need not be named."""
    if not in_container and not demanded(reference.container_name, (*path, "containerName"), report):
        return
    resource, here = reference.resource, (*path, "resource")
    if not demanded(resource, here, report):
        return
    if resource not in _RESOURCES and not resource.startswith(_HUGE_PAGES):
        report.error(here, "bad-value", not_supported(resource, _RESOURCES))
        return
    name = resource.partition(".")[2]
    usual = _DIVISORS.get(name, _BYTES)
    try:
        divisor = quantities.parse(reference.divisor or 0)
    except ValueError as error:
        report.error((*path, "divisor"), "bad-value", str(error))
        return
    if divisor not in {quantities.parse(one) for one in ("0", *usual)}:
        called = "hugepages" if name.startswith("hugepages-") else name
        listed = " and ".join(usual) if name == "cpu" else ", ".join(usual)
        problem = f"only divisor's values {listed} are supported with the {called} resource"
        report.error((*path, "divisor"), "bad-value", invalid(name, problem))


def demanded(value: str, path: Path, report: Report) -> bool:
    """Whether a field has a value; tells when it has none."""
    if not value:
        report.error(path, "missing-field", "Required value")
    return bool(value)


def quoted(text: str) -> str:
    """As the real server quotes what it was given."""
    return msgspec.json.encode(text[:253]).decode()


def invalid(value: str, message: str) -> str:
    """As it says that a value is wrong."""
    return f"Invalid value: {quoted(value)}: {message}"


def not_supported(value: str, supported: Collection[str]) -> str:
    """As it says that a value is none of those that there are."""
    listed = ", ".join(quoted(one) for one in supported)
    return f"Unsupported value: {quoted(value)}: supported values: {listed}"
