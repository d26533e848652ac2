"""Lists of revoked certificates: made alike by whoever has the keys, and refused when anything is odd."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from tests.support.pki import TRUST_DOMAIN, Clock, Pki

from tsujiban.identity import crl
from tsujiban.identity.ca import INTERMEDIATE_LIFETIME, CertificateAuthority
from tsujiban.identity.keys import create_csr, new_key
from tsujiban.identity.verify import VerificationError

NOW = 1_800_000_000.0
WEB = f"spiffe://{TRUST_DOMAIN}/ns/default/sa/web"


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def ca(tmp_path: Path, clock: Clock) -> CertificateAuthority:
    return CertificateAuthority.create(tmp_path / "ca", TRUST_DOMAIN, clock)


def chain(ca: CertificateAuthority) -> str:
    return ca.sign_workload(create_csr(new_key(), []), WEB)


def test_the_same_list_is_the_same_bytes_from_every_controller(
    ca: CertificateAuthority, clock: Clock
) -> None:
    first = ca.crl([3, 1, 3])
    assert CertificateAuthority.load(ca.directory, TRUST_DOMAIN, clock).crl([1, 3]) == first
    assert ca.crl([1]) != first


def test_a_list_counts_for_all_that_was_signed_under_a_certificate_before(
    ca: CertificateAuthority, clock: Clock
) -> None:
    old = chain(ca)
    before = ca.crl([7])
    clock.now += INTERMEDIATE_LIFETIME / 2
    fresh = chain(ca)
    assert fresh.split("-----END")[1] != old.split("-----END")[1]  # another intermediate certificate
    assert ca.crl([7]) == before
    for one in (old, fresh):
        crl.check(before, one, ca.bundle_pem, ["7"], clock.now)


@pytest.mark.parametrize("serial", [0, -1, 1 << 159])
def test_what_is_no_serial_number(ca: CertificateAuthority, serial: int) -> None:
    with pytest.raises(ValueError, match="serial"):
        ca.crl([serial])


def test_lists_that_do_not_count(ca: CertificateAuthority, tmp_path: Path) -> None:
    good, shown = ca.crl([7]), chain(ca)
    crl.check(good, shown, ca.bundle_pem, ["7"], NOW)
    mark = "-----END X509 CRL-----\n"
    root, intermediate = good.split(mark)[:2]
    namesake = Pki(tmp_path / "namesake").ca.crl([7])
    cases = {
        "no signed list": ("", root + mark, intermediate + mark, namesake),
        "cannot be parsed": (good.replace("\nMI", "\nAA"), good.replace("\nMI", "\n", 1)),
        "followed by something": (good + "x", "x" + good, good + ca.bundle_pem),
        "larger than": (good * 2000,),
        "7 is not in": (ca.crl([]), ca.crl([8])),
    }
    for reason, lists in cases.items():
        for one in lists:
            with pytest.raises(VerificationError, match=reason):
                crl.check(one, shown, ca.bundle_pem, ["7"], NOW)


def test_a_list_has_its_time(ca: CertificateAuthority) -> None:
    """That of the root: it must not end while a node has no controller."""
    (root,) = x509.load_pem_x509_certificates(ca.bundle_pem.encode())
    ends = root.not_valid_after_utc.timestamp()
    good, shown = ca.crl([7]), chain(ca)
    crl.check(good, shown, ca.bundle_pem, ["7"], ends - 1)
    for now in (root.not_valid_before_utc.timestamp() - 1, ends):
        with pytest.raises(VerificationError, match="does not count now"):
            crl.check(good, shown, ca.bundle_pem, ["7"], now)
