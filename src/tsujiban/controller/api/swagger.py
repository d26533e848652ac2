"""The paths of OpenAPI 3 (`paths.py`) in the words of OpenAPI 2.0.

kubectl up to 1.26 sends `--dry-run=server`, and so `kubectl diff`, only for kinds whose PATCH says here that
it takes `dryRun`; generators of clients read the rest. Refusals, which OpenAPI 3 tells one by one, are one
`default` here: old clients fetch the whole document for each command.
"""

from __future__ import annotations

from typing import Any

from tsujiban.controller.api.paths import STATUS

Json = dict[str, Any]

_V3, _V2 = "#/components/schemas/", "#/definitions/"
_REFUSED: Json = {"description": "Refused", "schema": {"$ref": _V2 + STATUS}}


def path_item(found: Json) -> Json:
    """One path with its operations."""
    item = {method: _operation(value) for method, value in found.items() if method != "parameters"}
    common = [_parameter(parameter) for parameter in found.get("parameters", ())]
    return {**item, **({"parameters": common} if common else {})}


def _operation(found: Json) -> Json:
    parameters = [_parameter(parameter) for parameter in found["parameters"]]
    made: Json = {"produces": ["application/json"]}
    body = found.get("requestBody")
    if body is not None:
        made["consumes"] = list(body["content"])
        parameters.append({"name": "body", "in": "body", "required": True, "schema": _schema(body)})
    good = {
        code: {"description": answer["description"], "schema": _schema(answer)}
        for code, answer in found["responses"].items()
        if code.startswith("2")
    }
    extensions = {name: value for name, value in found.items() if name.startswith("x-")}
    return {**made, "parameters": parameters, "responses": {**good, "default": _REFUSED}, **extensions}


def _parameter(found: Json) -> Json:
    return {**{name: value for name, value in found.items() if name != "schema"}, **found["schema"]}


def _schema(holder: Json) -> Json:
    schema: Json = next(iter(holder["content"].values()))["schema"]
    return {"$ref": schema["$ref"].replace(_V3, _V2)} if "$ref" in schema else schema
