from __future__ import annotations

import json

from starlette.requests import Request

from tsujiban.controller.api.openapi import document


def request(accept: str) -> Request:
    headers = [(b"accept", accept.encode())]
    return Request({"type": "http", "method": "GET", "path": "/openapi/v2", "headers": headers})


def test_json() -> None:
    found = json.loads(bytes(document(request("application/json")).body))
    assert (found["swagger"], found["definitions"]) == ("2.0", {})


def test_protobuf_is_the_smallest_document() -> None:
    answer = document(request("application/com.github.proto-openapi.spec.v2@v1.0+protobuf"))
    assert bytes(answer.body) == b"\x0a\x032.0\x12\x0e\x0a\x08Tsujiban\x12\x02v1\x42\x00"
