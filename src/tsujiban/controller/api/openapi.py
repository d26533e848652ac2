"""`/openapi/v2` and `/openapi/v3`: what is served, described for machines.

Documents are made when they are first asked for, once, and named by a hash of what they say, so that
clients may keep them. Source: Kubernetes "The Kubernetes API", OpenAPI V2 and V3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

import tsujiban
from tsujiban.controller.api import discovery, gnostic, swagger
from tsujiban.controller.api.dispatch import Table
from tsujiban.controller.api.errors import path_not_found
from tsujiban.controller.api.paths import STATUS, STATUS_SCHEMA, paths
from tsujiban.resources import openapi
from tsujiban.resources.registry import Kind

Json = dict[str, Any]

PROTOBUF = "application/octet-stream"  # its registered name holds an @, which Go's parser refuses
_INFO = {"title": "Tsujiban", "version": tsujiban.__version__}


class Documents:
    """The documents of what a table and the registry serve."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._v3: dict[str, tuple[bytes, str]] = {}  # group version -> document, hash
        self._v2: tuple[bytes, bytes] | None = None  # as JSON, as protobuf

    def v2(self, request: Request) -> Response:
        """`/openapi/v2`, as protobuf for kubectl and as JSON for others."""
        if self._v2 is None:
            kinds = [pair for group_version in self._versions() for pair in self._kinds(group_version)]
            definitions = openapi.gathered(kinds, "#/definitions/", v3=False)
            document = {
                "swagger": "2.0",
                "info": _INFO,
                "paths": {path: swagger.path_item(item) for path, item in self._paths(kinds).items()},
                "definitions": {**definitions, STATUS: STATUS_SCHEMA},
            }
            self._v2 = msgspec.json.encode(document), gnostic.document(document)
        as_json, as_protobuf = self._v2
        if "protobuf" in request.headers.get("accept", ""):
            return _kept(request, as_protobuf, _hash(as_protobuf), PROTOBUF)
        return _kept(request, as_json, _hash(as_json), "application/json")

    def index(self, _request: Request) -> Response:
        """`/openapi/v3`: where the document of each group and version is."""
        found = {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={self._document(version)[1]}"}
            for version in self._versions()
            for path in [_path(version)]
        }
        return Response(msgspec.json.encode({"paths": found}), media_type="application/json")

    def v3(self, request: Request) -> Response:
        """`/openapi/v3/api/v1`, `/openapi/v3/apis/GROUP/VERSION`.

        Raises:
            ApiError: 404.
        """
        path = request.path_params["version"]
        found = next((version for version in self._versions() if _path(version) == path), None)
        if found is None:
            raise path_not_found()
        data, digest = self._document(found)
        asked = request.query_params.get("hash")
        if asked and asked != digest:
            return RedirectResponse(f"/openapi/v3/{path}?hash={digest}", 301)
        answer = _kept(request, data, digest, "application/json")
        if asked:
            answer.headers["cache-control"] = "public, immutable"
        return answer

    def _versions(self) -> Iterator[str]:
        for group, versions in discovery.served(self._table).items():
            for version in versions:
                yield f"{group}/{version}" if group else version

    def _kinds(self, group_version: str) -> list[tuple[Kind, str]]:
        group, _, version = group_version.rpartition("/")
        kinds = discovery.served(self._table)[group][version]
        return [(kind, group_version) for kind in kinds]

    def _paths(self, kinds: list[tuple[Kind, str]]) -> dict[str, Json]:
        return {
            path: operations
            for kind, version in kinds
            for path, operations in paths(kind, version, self._table).items()
        }

    def _document(self, group_version: str) -> tuple[bytes, str]:
        known = self._v3.get(group_version)
        if known is None:
            kinds = self._kinds(group_version)
            schemas = openapi.gathered(kinds, "#/components/schemas/", v3=True)
            body = msgspec.json.encode(
                {
                    "openapi": "3.0.0",
                    "info": _INFO,
                    "paths": self._paths(kinds),
                    "components": {"schemas": {**schemas, STATUS: STATUS_SCHEMA}},
                }
            )
            known = self._v3[group_version] = body, _hash(body)
        return known


def _path(group_version: str) -> str:
    return f"apis/{group_version}" if "/" in group_version else f"api/{group_version}"


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest().upper()


def _kept(request: Request, data: bytes, digest: str, media: str) -> Response:
    """An answer that the client may already have."""
    etag = f'"{digest}"'
    headers = {"etag": etag, "vary": "Accept"}
    if etag in (tag.strip() for tag in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media, headers=headers)
