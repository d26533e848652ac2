from __future__ import annotations

from typing import Any

import pytest

SERVICE = {"service": {"name": "web", "port": {"number": 80}}}
PATH = {"path": "/", "pathType": "Prefix", "backend": SERVICE}


def rules(**path: Any) -> dict[str, Any]:
    kept = {name: value for name, value in {**PATH, **path}.items() if value is not None}
    return {"rules": [{"host": "a.example", "http": {"paths": [kept]}}]}


HERE = "spec.rules[0].http.paths[0]"


@pytest.mark.parametrize(
    ("spec", "field", "code"),
    [
        ({}, "spec", "missing-field"),
        ({"rules": [{"http": {}}]}, "spec.rules[0].http.paths", "missing-field"),
        (rules(pathType=None), f"{HERE}.pathType", "missing-field"),
        (rules(pathType="x"), f"{HERE}.pathType", "bad-value"),
        (rules(path="a"), f"{HERE}.path", "bad-value"),
        (rules(backend=None), f"{HERE}.backend", "missing-field"),
        (rules(backend={**SERVICE, "resource": {}}), f"{HERE}.backend", "conflict"),
        ({"defaultBackend": {"service": {"name": "a"}}}, "spec.defaultBackend.service.port", "conflict"),
        (
            {"defaultBackend": {"service": {"name": "a", "port": {"number": 0}}}},
            "spec.defaultBackend.service.port.number",
            "bad-port",
        ),
    ],
)
def test_what_is_wrong(judge: Any, spec: dict[str, Any], field: str, code: str) -> None:
    assert judge("networking.k8s.io/v1", "Ingress", spec=spec) == {(field, code)}


def test_what_is_right(judge: Any) -> None:
    assert judge("networking.k8s.io/v1", "Ingress", spec=rules()) == set()
    assert judge("networking.k8s.io/v1", "Ingress", spec={"defaultBackend": {"resource": {}}}) == set()
