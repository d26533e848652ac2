"""What the server serves: `/api`, `/apis`, and the resource lists of each version.

Source: Kubernetes API concepts, "API Discovery" (the unaggregated form, that every client falls back to).
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from tsujiban.controller.api.errors import path_not_found
from tsujiban.resources.registry import KINDS, Kind

if TYPE_CHECKING:
    from tsujiban.controller.api.dispatch import Subresource, Table

Json = dict[str, Any]

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
CREATE_ONLY = ("create",)


def served(table: Table) -> dict[str, dict[str, list[Kind]]]:
    """Kinds by group and version, in the order of the registry: earlier groups win ambiguous names."""
    found: dict[str, dict[str, list[Kind]]] = {}
    for kind in (*KINDS, *table.virtual_kinds()):
        for api_version in kind.versions:
            group, _, version = api_version.rpartition("/")
            found.setdefault(group, {}).setdefault(version, []).append(kind)
    return found


CUSTOM_RESOURCES = ["apis", "apiextensions.k8s.io", "v1", "customresourcedefinitions"]


def custom_resources() -> Json:
    """There are none. kubectl looks when a kind cannot be patched (`kubectl create -f` of a TokenReview),
    before it validates by itself, and gives up when it finds no list: served as discovery, to everybody."""
    group, version = CUSTOM_RESOURCES[1:3]
    return {
        "kind": "CustomResourceDefinitionList",
        "apiVersion": f"{group}/{version}",
        "metadata": {},
        "items": [],
    }


def core_versions() -> Json:
    """`/api`."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [],
    }


def groups(table: Table) -> Json:
    """`/apis`."""
    found = [_group(name, list(versions)) for name, versions in served(table).items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def group(name: str, table: Table) -> Json:
    """`/apis/GROUP`.

    Raises:
        ApiError: 404.
    """
    versions = served(table).get(name) if name else None
    if versions is None:
        raise path_not_found()
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, list(versions))}


def resources(group_name: str, version: str, table: Table) -> Json:
    """`/api/v1`, `/apis/GROUP/VERSION`.

    Raises:
        ApiError: 404.
    """
    kinds = served(table).get(group_name, {}).get(version)
    if kinds is None:
        raise path_not_found()
    listed: list[Json] = []
    for kind in kinds:
        preferred = kind.group == group_name and kind.version == version
        if table.kind(kind.api_version, kind.plural) is not None:
            listed.append(_resource(kind, kind.plural, CREATE_ONLY))
            continue
        listed.append(_resource(kind, kind.plural, VERBS, words=preferred))
        listed.extend(_subresource(kind, entry) for entry in table.of_kind(kind))
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group_name}/{version}" if group_name else version,
        "resources": listed,
    }


def has_status(kind: Kind) -> bool:
    """Whether `status` is apart from the rest: written by controllers, through its own path."""
    return "status" in kind.type.__struct_fields__


def _group(name: str, versions: list[str]) -> Json:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _resource(kind: Kind, name: str, verbs: tuple[str, ...], *, words: bool = False) -> Json:
    """`words`: with the short names, which may stand in one version only, or kubectl warns."""
    found: Json = {
        "name": name,
        "singularName": kind.singular if "/" not in name else "",
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(verbs),
    }
    if words:
        found["shortNames"] = list(kind.short_names)
        found["categories"] = categories(kind)
    if "/" not in name:
        found["storageVersionHash"] = storage_version_hash(kind)
    return found


def categories(kind: Kind) -> list[str]:
    """The words that stand for several kinds, this among them."""
    return ["all"] if kind.plural in _ALL else []


def storage_version_hash(kind: Kind) -> str:
    """Changes when objects are stored under another version, so that clients may know."""
    stored = f"{kind.group}/{kind.version}/{kind.kind}"
    return base64.b64encode(hashlib.sha256(stored.encode()).digest()[:8]).decode()


def _subresource(kind: Kind, entry: Subresource) -> Json:
    found = _resource(kind, f"{kind.plural}/{entry.name}", tuple(sorted(set(entry.verbs.values()))))
    if entry.kind:
        found["kind"] = entry.kind
    if entry.api_version:
        found["group"], _, found["version"] = entry.api_version.rpartition("/")
    return found


# what `kubectl get all` means
_ALL = frozenset(
    {"pods", "services", "deployments", "replicasets", "statefulsets", "daemonsets", "jobs", "cronjobs"}
)
