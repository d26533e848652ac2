"""Contexts are TLS 1.3 only, mutual, and say what is wrong with a file."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from tests.support.pki import Pki

from tsujiban.identity.keys import new_key
from tsujiban.identity.tls import TlsError, client_context, server_context


def test_server(pki: Pki) -> None:
    context = pki.server()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.num_tickets == 0
    assert context.verify_flags & ssl.VERIFY_X509_STRICT
    assert len(context.get_ca_certs()) == 1  # ours, and none of the system's


def test_client(pki: Pki) -> None:
    context = client_context(pki.node("node-1").path, pki.ca.bundle_pem)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert len(context.get_ca_certs()) == 1


def test_errors_name_the_file_and_no_secret(pki: Pki, tmp_path: Path) -> None:
    with pytest.raises(TlsError, match=r"missing\.pem"):
        server_context(tmp_path / "missing.pem", pki.ca.bundle_pem)
    good = pki.node("node-1").path
    for bundle in ("", "garbage"):
        with pytest.raises(TlsError, match=r"node\.pem"):
            client_context(good, bundle)
    chain = good.read_text().split("-----END PRIVATE KEY-----\n")[1]
    mixed = pki.pem_file("mixed.pem", new_key(), chain)
    with pytest.raises(TlsError, match=r"mixed\.pem") as caught:
        client_context(mixed, pki.ca.bundle_pem)
    assert "PRIVATE" not in str(caught.value)
