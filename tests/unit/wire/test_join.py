"""The digest pins certificates, not their spelling; and join secrets do not print."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.support.pki import Pki

from tsujiban.wire.join import JoinFile, JoinRequest, bundle_digest


def test_digest(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = Pki(tmp_path / "a").ca.bundle_pem, Pki(tmp_path / "b").ca.bundle_pem
    assert len(bundle_digest(one)) == 64
    assert bundle_digest(one) == bundle_digest("# a comment\n" + one.replace("\n", "\r\n") + "\n")
    assert len({bundle_digest(bundle) for bundle in (one, two, one + two, two + one)}) == 4


@pytest.mark.parametrize(
    "text", ["", "garbage", "-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----"]
)
def test_no_certificate_no_digest(text: str) -> None:
    with pytest.raises(ValueError, match=r"no certificate|padding"):
        bundle_digest(text)


def test_secrets_do_not_print() -> None:
    hidden = "HIDDEN"
    ticket = JoinFile(server="https://c:6443", node="node-1", token=hidden, ca_sha256="0" * 64)
    request = JoinRequest(token=hidden, csr_pem="x", node="node-1")
    for text in (repr(ticket), str(ticket), repr(request), str(request)):
        assert hidden not in text
        assert "node-1" in text


def test_unknown_fields_of_a_request_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(b'{"token":"","csr_pem":"","node":"","spiffe_id":"x"}', type=JoinRequest)
