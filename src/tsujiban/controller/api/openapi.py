"""The OpenAPI document that kubectl asks for before it applies: so far one without schemas.

kubectl refuses to apply when there is no document, and leaves validation to the server when a kind
has no schema in it; the server validates everything anyhow. Source: gnostic OpenAPIv2.proto.
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

PROTOBUF = "application/octet-stream"  # its registered name holds an @, which Go's parser refuses
_TITLE, _VERSION = "Tsujiban", "v1"


def document(request: Request) -> Response:
    """`/openapi/v2`, as protobuf for kubectl and as JSON for others."""
    if "protobuf" in request.headers.get("accept", ""):
        info = _text(1, _TITLE) + _text(2, _VERSION)
        return Response(_text(1, "2.0") + _bytes(2, info) + _bytes(8, b""), media_type=PROTOBUF)
    body = {"swagger": "2.0", "info": {"title": _TITLE, "version": _VERSION}, "paths": {}, "definitions": {}}
    return Response(msgspec.json.encode(body), media_type="application/json")


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _bytes(field: int, value: bytes) -> bytes:
    """A length-delimited field of fewer than 128 bytes (protobuf encoding, wire type 2)."""
    return bytes([field << 3 | 2, len(value)]) + value
