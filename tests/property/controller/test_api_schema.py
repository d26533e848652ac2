"""Schemathesis fuzzes the server on its own OpenAPI: every operation, with what fits its schema and with what
does not. No answer is a failure of the server's, or one that its document does not have.

A run of the tests asks a share of the operations; TSUJIBAN_FUZZ=8 asks all, 80 each ten times.
"""

from __future__ import annotations

import os
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from tests.property.controller.test_api_bodies import Server
from tests.property.controller.test_api_bodies import server as server  # the fixture

ROUNDS = int(os.environ.get("TSUJIBAN_FUZZ", "1"))
SHARE = 8  # one operation in so many is asked in one round: once with what fits, once with what does not
NAMES = {"namespace": "default", "name": "fuzz"}
EXPECTED = {504}  # of a resourceVersion that is not there yet; a failure of the client's, as in Kubernetes

load_all_checks()
CHECKS: list[Any] = [
    schemathesis.checks.CHECKS.get_one(name)
    for name in ("status_code_conformance", "content_type_conformance", "response_schema_conformance")
]


def documents(server: Server) -> list[str]:
    index = server.request("GET", "/openapi/v3").json()
    return sorted(found["serverRelativeURL"] for found in index["paths"].values())


def send(server: Server, case: Any, known: bool) -> httpx.Response:
    """The request of a case, about what exists or about anything."""
    if known:
        for name in case.path_parameters or ():
            case.path_parameters[name] = NAMES[name]
        if isinstance(case.body, dict) and isinstance(case.body.get("metadata"), dict):
            case.body["metadata"] |= {"name": "fuzz", "namespace": "default"}
            case.body["metadata"].pop("resourceVersion", None)
    if case.query and "watch" in case.query:
        del case.query["watch"]  # it would not end; others test it
    wanted = case.as_transport_kwargs(base_url="https://t")
    request: dict[str, Any] = {
        name: wanted[name] for name in ("headers", "params", "json", "files") if wanted.get(name) is not None
    }
    if wanted.get("data") is not None:
        request["content"] = wanted["data"]
    return server.request(wanted["method"], wanted["url"], **request)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_operation_answers_as_its_document_says(server: Server, mode: GenerationMode) -> None:
    found: list[Any] = [
        operation
        for url in documents(server)
        for operation in schemathesis.openapi.from_dict(
            server.request("GET", url).json()
        ).get_all_operations()
    ]
    operations = [operation.ok() for operation in found]
    if mode is GenerationMode.NEGATIVE:
        operations = [one for one in operations if one.body or one.query]  # else nothing can be wrong
    chosen = operations[:: max(1, SHARE // ROUNDS)]
    asked = sum(fuzz(server, found, mode) for found in chosen)
    assert asked >= len(chosen)


def fuzz(server: Server, found: Any, mode: GenerationMode) -> int:
    """The number of requests that were made."""
    asked = 0

    @settings(
        max_examples=max(1, ROUNDS // SHARE),
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=found.as_strategy(generation_mode=mode), known=st.booleans())
    def run(case: Any, known: bool) -> None:
        nonlocal asked
        answer = send(server, case, known)
        asked += 1
        assert answer.status_code < 500 or answer.status_code in EXPECTED, answer.text
        case.validate_response(answer, checks=CHECKS)

    run()
    return asked
