"""A CA on disk that was damaged, swapped or shared is refused, with the reason."""

from __future__ import annotations

import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.pki import TRUST_DOMAIN, Pki

from tsujiban.identity.ca import DAY, ROOT_LIFETIME, CertificateAuthority
from tsujiban.identity.castore import INTERMEDIATE_FILE, ROOT_FILE, CaStoreError, load
from tsujiban.identity.files import write_private


def test_modes(pki: Pki) -> None:
    directory = pki.ca.directory
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert modes == {ROOT_FILE: 0o600, INTERMEDIATE_FILE: 0o600}


def shared_key(directory: Path) -> None:
    (directory / ROOT_FILE).chmod(0o644)


def shared_directory(directory: Path) -> None:
    directory.chmod(0o755)


def missing(directory: Path) -> None:
    (directory / INTERMEDIATE_FILE).unlink()


def truncated(directory: Path) -> None:
    data = (directory / ROOT_FILE).read_bytes()
    write_private(directory / ROOT_FILE, data[: len(data) // 2])


def empty(directory: Path) -> None:
    write_private(directory / ROOT_FILE, b"")


def swapped(directory: Path) -> None:
    write_private(directory / ROOT_FILE, (directory / INTERMEDIATE_FILE).read_bytes())


def key_of_another(directory: Path) -> None:
    root, intermediate = ((directory / name).read_text() for name in (ROOT_FILE, INTERMEDIATE_FILE))
    mark = "-----BEGIN CERTIFICATE-----"
    mixed = root[: root.index(mark)] + intermediate[intermediate.index(mark) :]
    write_private(directory / INTERMEDIATE_FILE, mixed.encode())


def foreign_intermediate(directory: Path) -> None:
    other = CertificateAuthority.create(directory.parent / "other", TRUST_DOMAIN)
    shutil.copy(other.directory / INTERMEDIATE_FILE, directory / INTERMEDIATE_FILE)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (shared_key, "chmod 600"),
        (shared_directory, "chmod 700"),
        (missing, "No such file"),
        (truncated, "backup"),
        (empty, "backup"),
        (swapped, "backup"),
        (key_of_another, "its key is not the key"),
        (foreign_intermediate, "not a certificate of this authority"),
    ],
)
def test_damage(pki: Pki, damage: Callable[[Path], None], reason: str) -> None:
    damage(pki.ca.directory)
    with pytest.raises(CaStoreError, match=reason) as caught:
        CertificateAuthority.load(pki.ca.directory, TRUST_DOMAIN)
    assert "PRIVATE" not in str(caught.value)


def test_other_trust_domain(pki: Pki) -> None:
    with pytest.raises(CaStoreError, match=r"not the authority of trust domain other\.local"):
        CertificateAuthority.load(pki.ca.directory, "other.local")


def test_expired_root(pki: Pki) -> None:
    with pytest.raises(CaStoreError, match="expired"):
        load(pki.ca.directory, TRUST_DOMAIN, time.time() + ROOT_LIFETIME + DAY)


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("mine")
    with pytest.raises(OSError, match="ca"):
        CertificateAuthority.create(tmp_path / "ca", TRUST_DOMAIN)
    assert [path.name for path in tmp_path.iterdir()] == ["ca"]
    assert (tmp_path / "ca").read_text() == "mine"
