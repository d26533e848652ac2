"""Aggregated discovery: everything that is served in two answers, which clients may keep by their ETag.

Source: Kubernetes API concepts, "Aggregated discovery"; apidiscovery.k8s.io/v2 APIGroupDiscoveryList.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tsujiban.controller.api import discovery
from tsujiban.resources.registry import Kind

if TYPE_CHECKING:
    from tsujiban.controller.api.dispatch import Table

Json = dict[str, Any]

GROUP = "apidiscovery.k8s.io"
_VERSIONS = ("v2", "v2beta1")


def wanted(accept: str) -> str:
    """The version of aggregated discovery that comes first in an Accept header; "" when plain JSON does."""
    for alternative in accept.split(","):
        media, *parameters = (part.strip() for part in alternative.split(";"))
        named = dict(part.partition("=")[::2] for part in parameters)
        if media not in ("application/json", "application/*", "*/*"):
            continue
        if "as" not in named:
            return ""
        if named["as"] == "APIGroupDiscoveryList" and named.get("g") == GROUP and named.get("v") in _VERSIONS:
            return named["v"]
    return ""


def answer(request: Request, table: Table, version: str, *, core: bool) -> Response:
    """`/api` (`core`) or `/apis`, in `version` of aggregated discovery."""
    body = msgspec.json.encode(document(table, version, core=core))
    etag = f'"{hashlib.sha256(body).hexdigest().upper()}"'
    headers = {"etag": etag, "vary": "Accept"}
    if etag in (tag.strip() for tag in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    media = f"application/json;g={GROUP};v={version};as=APIGroupDiscoveryList"
    return Response(body, headers=headers | {"content-type": media})


def document(table: Table, version: str, *, core: bool) -> Json:
    """The list of the groups, of which the core group is one by itself."""
    groups = [
        {
            "metadata": {"name": name, "creationTimestamp": None},
            "versions": [
                {
                    "version": number,
                    "resources": [_resource(kind, name, number, table) for kind in kinds],
                    "freshness": "Current",
                }
                for number, kinds in versions.items()
            ],
        }
        for name, versions in discovery.served(table).items()
        if bool(name) is not core
    ]
    head = {"kind": "APIGroupDiscoveryList", "apiVersion": f"{GROUP}/{version}", "metadata": {}}
    return {**head, "items": groups}


def _resource(kind: Kind, group: str, version: str, table: Table) -> Json:
    virtual = table.kind(f"{group}/{version}" if group else version, kind.plural) is not None
    found: Json = {
        "resource": kind.plural,
        "responseKind": {"group": group, "version": version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(discovery.CREATE_ONLY if virtual else discovery.VERBS),
    }
    if (kind.group, kind.version) == (group, version):
        names = {"shortNames": list(kind.short_names), "categories": discovery.categories(kind)}
        found |= {name: words for name, words in names.items() if words}
    below = []
    for entry in () if virtual else table.of_kind(kind):
        own_group, _, own_version = entry.api_version.rpartition("/")
        response = {
            "group": own_group if entry.api_version else group,
            "version": own_version or version,
            "kind": entry.kind or kind.kind,
        }
        verbs = sorted(set(entry.verbs.values()))
        below.append({"subresource": entry.name, "responseKind": response, "verbs": verbs})
    return found | ({"subresources": below} if below else {})
