"""Certificate signing requests."""

from __future__ import annotations

import base64
from typing import Any

import pytest

V1 = "certificates.k8s.io/v1"
PEM = base64.b64encode(b"-----BEGIN CERTIFICATE REQUEST-----\n").decode()
GOOD = {"request": PEM, "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]}


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"request": ""}, "request", "missing-field"),
        ({"request": "%"}, "request", "bad-value"),
        ({"request": base64.b64encode(b"-----BEGIN CERTIFICATE-----").decode()}, "request", "bad-value"),
        ({"request": base64.b64encode(b"x" * 20_000).decode()}, "request", "too-large"),
        ({"signerName": ""}, "signerName", "missing-field"),
        ({"signerName": "x/y"}, "signerName", "bad-value"),
        ({"signerName": "a.b"}, "signerName", "bad-value"),
        ({"signerName": "A.b/c"}, "signerName", "bad-value"),
        ({"signerName": "kubernetes.io/legacy-unknown"}, "signerName", "bad-value"),
        ({"usages": []}, "usages", "missing-field"),
        ({"usages": ["client auth", "client auth"]}, "usages[1]", "duplicate"),
        ({"usages": ["everything"]}, "usages[0]", "bad-value"),
        ({"expirationSeconds": 599}, "expirationSeconds", "out-of-range"),
    ],
)
def test_spec(judge: Any, fields: dict[str, Any], field: str, code: str) -> None:
    assert judge(V1, "CertificateSigningRequest", spec={**GOOD, **fields}) == {(f"spec.{field}", code)}


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([{"type": "Approved", "status": "True"}], set()),
        ([{"type": "Good"}], {("[0].type", "bad-value")}),
        ([{"type": "Approved", "status": "False"}], {("[0].status", "bad-value")}),
        ([{"type": "Failed"}, {"type": "Failed"}], {("[1]", "duplicate")}),
        ([{"type": "Approved"}, {"type": "Denied"}], {("", "conflict")}),
    ],
)
def test_conditions(judge: Any, conditions: list[dict[str, str]], expected: set[tuple[str, str]]) -> None:
    told = judge(V1, "CertificateSigningRequest", spec=GOOD, status={"conditions": conditions})
    assert told == {(f"status.conditions{path}", code) for path, code in expected}


def test_good(judge: Any) -> None:
    assert judge(V1, "CertificateSigningRequest", spec={**GOOD, "expirationSeconds": 600}) == set()
