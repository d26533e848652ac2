"""What a thief's TLS client reports, as Python's ssl words it."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.local.demo.acts.theft import accepted, describe, refused

REQUIRED = (
    "SSLError: [SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2546)"
)
UNKNOWN = "SSLError: [SSL: SSLV3_ALERT_CERTIFICATE_UNKNOWN] sslv3 alert certificate unknown (_ssl.c:2546)"


def result(stage: str, error: str = "", version: str = "TLSv1.3") -> dict[str, Any]:
    return {"stage": stage, "error": error, "version": version, "answer": ""}


@pytest.mark.parametrize(
    ("found", "is_accepted", "is_refused", "words"),
    [
        (result("answered"), True, False, "TLSv1.3, accepted"),
        (result("answer", "TimeoutError: timed out"), True, False, "TLSv1.3, accepted"),
        (result("answer", REQUIRED), False, True, "refused, TLS alert: certificate required"),
        (result("answer", UNKNOWN), False, True, "refused, TLS alert: certificate unknown"),
        (result("closed"), False, False, "TLSv1.3, closed"),
        (
            result("connect", "TimeoutError: timed out", ""),
            False,
            False,
            "no connection (TimeoutError: timed out)",
        ),
        (
            result("handshake", "ConnectionResetError: x", ""),
            False,
            False,
            "handshake failed (ConnectionResetError: x)",
        ),
        (
            result("answer", "ConnectionResetError: x"),
            False,
            False,
            "handshake done (ConnectionResetError: x)",
        ),
    ],
)
def test_only_an_alert_is_a_refusal_by_tls_and_only_patience_or_an_answer_is_acceptance(
    found: dict[str, Any], is_accepted: bool, is_refused: bool, words: str
) -> None:
    assert accepted(found) is is_accepted
    assert refused(found) is is_refused
    assert describe(found) == words
