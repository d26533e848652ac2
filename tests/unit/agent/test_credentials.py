"""A node uses only credentials that are its own, private, whole and valid."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from tests.support.pki import TRUST_DOMAIN, Pki

from tsujiban.agent.credentials import CREDENTIALS_FILE, TRUST_FILE, CredentialsError, Trust, load, save
from tsujiban.identity.files import write_private
from tsujiban.identity.keys import create_csr, new_key


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


def test_round_trip(pki: Pki) -> None:
    saved = pki.node("node-1")
    assert load(pki.directory / "node-1", "node-1") == saved
    assert saved.trust == pki.trust
    assert saved.not_after - saved.not_before == 3660
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (pki.directory / "node-1").iterdir()}
    assert modes == {CREDENTIALS_FILE: 0o600, TRUST_FILE: 0o600}


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="No such file"):
        load(tmp_path / "missing", "node-1")


def test_of_another_node(pki: Pki) -> None:
    pki.node("node-1")
    with pytest.raises(CredentialsError, match="not for node 'node-2'"):
        load(pki.directory / "node-1", "node-2")


def test_shared_key_file(pki: Pki) -> None:
    pki.node("node-1").path.chmod(0o644)
    with pytest.raises(CredentialsError, match="chmod 600"):
        load(pki.directory / "node-1", "node-1")


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff\xfe"])
@pytest.mark.parametrize("name", [CREDENTIALS_FILE, TRUST_FILE])
def test_damaged(pki: Pki, name: str, content: bytes) -> None:
    pki.node("node-1")
    write_private(pki.directory / "node-1" / name, content)
    with pytest.raises(CredentialsError):
        load(pki.directory / "node-1", "node-1")


def test_of_another_authority(pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Pki(tmp_path / "other")
    key = new_key()
    chain_pem = other.ca.sign_node(create_csr(key, []), "node-1")
    with pytest.raises(CredentialsError, match="does not verify"):
        save(tmp_path / "n", "node-1", key, chain_pem, pki.trust)
    assert not (tmp_path / "n").exists()


def test_for_another_key_or_identity(pki: Pki, tmp_path: Path) -> None:
    chain_pem = pki.ca.sign_node(create_csr(new_key(), []), "node-1")
    with pytest.raises(CredentialsError, match="another key"):
        save(tmp_path / "n", "node-1", new_key(), chain_pem, pki.trust)
    key = new_key()
    workload = pki.ca.sign_workload(create_csr(key, []), f"spiffe://{TRUST_DOMAIN}/ns/a/sa/b")
    with pytest.raises(CredentialsError, match="not for node"):
        save(tmp_path / "n", "node-1", key, workload, pki.trust)
    elsewhere = Trust(trust_domain="other.local", bundle_pem=pki.ca.bundle_pem)
    node = pki.ca.sign_node(create_csr(key, []), "node-1")
    with pytest.raises(CredentialsError, match="not in trust domain"):
        save(tmp_path / "n", "node-1", key, node, elsewhere)
    assert not (tmp_path / "n").exists()


def test_shared_state_directory(pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "n").mkdir(mode=0o755)
    (tmp_path / "n").chmod(0o755)
    key = new_key()
    chain_pem = pki.ca.sign_node(create_csr(key, []), "node-1")
    with pytest.raises(CredentialsError, match="chmod 700"):
        save(tmp_path / "n", "node-1", key, chain_pem, pki.trust)
    assert list((tmp_path / "n").iterdir()) == []
