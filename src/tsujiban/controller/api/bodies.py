"""Request bodies as plain data, by their content type.

JSON is the API's language, YAML what people write into an apply, protobuf what clients made for built-in
kinds send. CBOR is refused with 415, on which clients fall back to JSON. Source: Kubernetes API
concepts, "Alternate representations of resources".
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from tsujiban.controller.api import protobuf
from tsujiban.controller.api.aside import worked
from tsujiban.controller.api.errors import bad_request, unsupported_media
from tsujiban.controller.api.responses import JSON, OBJECT_BYTES, parse_json, read_body
from tsujiban.resources import yaml_reader
from tsujiban.resources.shape import TooDeep, holds_null

YAML = "application/yaml"
KNOWN = (JSON, YAML, protobuf.MEDIA_TYPE)


def media_type(request: Request) -> str:
    """The content type without parameters; JSON when there is none."""
    return request.headers.get("content-type", JSON).partition(";")[0].strip().lower()


async def read_object(request: Request, of: Any = Any) -> Any:
    """The body of a write: JSON, YAML, or protobuf. `of` is the struct that it should fit.

    Raises:
        ApiError: 400, 408, 413; 415 for another content type.
    """
    media = media_type(request)
    if media not in KNOWN:
        raise unsupported_media(KNOWN)
    body = await read_body(request, OBJECT_BYTES)
    return await worked(len(body), _parsed, media, body, of)


def _parsed(media: str, body: bytes, of: Any) -> Any:
    if media == protobuf.MEDIA_TYPE:
        return protobuf.without_zeros(protobuf.decode(body), of)
    return parse_yaml(body) if media == YAML else parse_json(body)


def parse_yaml(body: bytes) -> Any:
    """One YAML (or JSON) document.

    Raises:
        ApiError: 400.
    """
    if body[:64].lstrip()[:1] == b"{":
        return _bounded(parse_json(body))
    problems: list[str] = []

    def tell(_code: str, message: str, line: int = 0, column: int = 0, _hint: str = "") -> None:
        problems.append(f"line {line}, column {column}: {message}" if line else message)

    found = [document.value for document in yaml_reader.documents(body, tell)]
    if problems:
        raise bad_request(f"the body is not YAML: {problems[0]}")
    if len(found) != 1:
        raise bad_request(f"the body holds {len(found)} YAML documents, not one")
    return _bounded(found[0])


def _bounded(value: Any) -> Any:
    try:
        holds_null(value)
    except TooDeep:
        raise bad_request("the object is nested too deep") from None
    return value
