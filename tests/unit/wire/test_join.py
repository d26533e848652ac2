"""The digest pins certificates, not their spelling; and join secrets do not print."""

from __future__ import annotations

import ssl
from pathlib import Path

import msgspec
import pytest
from tests.support.pki import Pki

from tsujiban.wire.join import JoinFile, JoinRequest, bundle_digest, canonical


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
    with pytest.raises(ValueError, match=r"no certificate|padding|base64"):
        bundle_digest(text)


@pytest.mark.parametrize("heading", ["X509 CERTIFICATE", "TRUSTED CERTIFICATE"])
def test_only_what_the_digest_is_of_is_left_of_a_bundle(tmp_path: Path, heading: str) -> None:
    """OpenSSL would have taken the other one, too."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    good, evil = Pki(tmp_path / "a").ca.bundle_pem, Pki(tmp_path / "b").ca.bundle_pem
    both = evil.replace("CERTIFICATE", heading) + good
    assert bundle_digest(both) == bundle_digest(good)
    assert canonical(both) == canonical(good)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=canonical(both))
    assert len(context.get_ca_certs()) == 1


def test_a_block_with_something_between_its_letters_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="base64"):
        canonical(Pki(tmp_path).ca.bundle_pem.replace("MII", "M*II", 1))


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
