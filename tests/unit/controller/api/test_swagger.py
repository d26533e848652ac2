from __future__ import annotations

from typing import Any

from tsujiban.controller.api import swagger


def _v3() -> dict[str, Any]:
    kind = {"$ref": "#/components/schemas/D"}
    return {
        "put": {
            "parameters": [{"name": "dryRun", "in": "query", "schema": {"type": "string", "enum": ["All"]}}],
            "requestBody": {"required": True, "content": {"application/json": {"schema": kind}}},
            "responses": {
                "200": {"description": "OK", "content": {"application/json": {"schema": kind}}},
                "404": {"description": "Not Found", "content": {"application/json": {"schema": kind}}},
            },
            "x-kubernetes-action": "put",
        },
        "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}],
    }


def test_a_path_in_the_words_of_2_0() -> None:
    found = swagger.path_item(_v3())
    assert found["parameters"] == [{"name": "name", "in": "path", "required": True, "type": "string"}]
    put = found["put"]
    assert put["parameters"] == [
        {"name": "dryRun", "in": "query", "type": "string", "enum": ["All"]},
        {"name": "body", "in": "body", "required": True, "schema": {"$ref": "#/definitions/D"}},
    ]
    assert (put["consumes"], put["x-kubernetes-action"]) == (["application/json"], "put")
    assert put["responses"]["200"]["schema"] == {"$ref": "#/definitions/D"}


def test_refusals_are_one_default() -> None:
    responses = swagger.path_item(_v3())["put"]["responses"]
    assert set(responses) == {"200", "default"}
    assert responses["default"]["schema"]["$ref"].endswith(".Status")
