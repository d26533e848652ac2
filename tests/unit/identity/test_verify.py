"""Peers that lie about who they are, one lie each."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from tests.support.pki import TRUST_DOMAIN, Pki

from tsujiban.identity.certificates import CLIENT_AUTH, SERVER_AUTH, Issuer, Validity, authority, leaf, name
from tsujiban.identity.keys import create_csr, new_key
from tsujiban.identity.verify import (
    VerificationError,
    identity_of_der,
    leaf_identity,
    parse_chain,
    subject_of_der,
    verify_chain,
)

NOW = 1_800_000_000.0
VALIDITY = Validity(NOW - 10, NOW + 10)
WEB = f"spiffe://{TRUST_DOMAIN}/ns/default/sa/web"
NOBODY = x509.Name([])
BOTH = (CLIENT_AUTH, SERVER_AUTH)


def uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


def make_authority(
    parent: Issuer | None = None,
    path_length: int = 1,
    trust_domain: str = TRUST_DOMAIN,
    validity: Validity = VALIDITY,
    common_name: str = "ca",
) -> Issuer:
    key = new_key()
    return Issuer(authority(trust_domain, common_name, key, parent, path_length, validity), key)


def make_leaf(
    issuer: Issuer,
    names: Sequence[x509.GeneralName] = (uri(WEB),),
    validity: Validity = VALIDITY,
    subject: x509.Name = NOBODY,
    usages: Sequence[x509.ObjectIdentifier] = BOTH,
) -> x509.Certificate:
    return leaf(subject, names, usages, new_key().public_key(), issuer, validity)


def pem(*certificates: x509.Certificate) -> str:
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in certificates)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def bare(issuer: Issuer, *extensions: tuple[x509.ExtensionType, bool]) -> x509.Certificate:
    """A certificate with exactly these extensions (value, critical)."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(NOBODY)
        .issuer_name(issuer.certificate.subject)
        .public_key(new_key().public_key())
        .serial_number(1)
        .not_valid_before(issuer.certificate.not_valid_before_utc)
        .not_valid_after(issuer.certificate.not_valid_after_utc)
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    return builder.sign(issuer.key, hashes.SHA256())


def usage(**changes: bool) -> x509.KeyUsage:
    flags = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(**(flags | {"digital_signature": True} | changes))


ROOT = make_authority()
INTERMEDIATE = make_authority(ROOT, 0, common_name="intermediate")
BUNDLE = pem(ROOT.certificate)


# ---------------------------------------------------------------- chains


def test_good_chain() -> None:
    certificate = make_leaf(INTERMEDIATE)
    peer = verify_chain(pem(certificate, INTERMEDIATE.certificate), BUNDLE, TRUST_DOMAIN, NOW)
    assert str(peer.spiffe_id) == WEB
    assert peer.leaf == certificate
    assert (peer.not_before, peer.not_after) == (NOW - 10, NOW + 10)


def test_present_time_is_the_default(pki: Pki) -> None:
    chain_pem = pki.ca.sign_workload(create_csr(new_key(), []), WEB)
    assert str(verify_chain(chain_pem, pki.ca.bundle_pem, TRUST_DOMAIN).spiffe_id) == WEB
    with pytest.raises(VerificationError, match="expired"):
        verify_chain(chain_pem, pki.ca.bundle_pem, TRUST_DOMAIN, NOW + 10**9)


def test_one_of_several_roots_is_enough() -> None:
    other = make_authority(common_name="other")
    bundle = pem(other.certificate) + BUNDLE
    assert verify_chain(pem(make_leaf(ROOT)), bundle, TRUST_DOMAIN, NOW)


@pytest.mark.parametrize(("now", "reason"), [(NOW - 11, "not yet valid"), (NOW + 11, "expired")])
def test_outside_its_time(now: float, reason: str) -> None:
    with pytest.raises(VerificationError, match=reason):
        verify_chain(pem(make_leaf(ROOT)), BUNDLE, TRUST_DOMAIN, now)


def test_expired_intermediate() -> None:
    old = make_authority(ROOT, 0, validity=Validity(NOW - 10, NOW - 5), common_name="old")
    with pytest.raises(VerificationError, match="expired"):
        verify_chain(pem(make_leaf(old), old.certificate), BUNDLE, TRUST_DOMAIN, NOW)


def test_other_root_of_the_same_name() -> None:
    twin = make_authority()
    assert twin.certificate.subject == ROOT.certificate.subject
    with pytest.raises(VerificationError, match="does not verify"):
        verify_chain(pem(make_leaf(twin)), BUNDLE, TRUST_DOMAIN, NOW)


def test_root_brought_along_is_not_trusted() -> None:
    own = make_authority(common_name="own")
    with pytest.raises(VerificationError, match="does not verify"):
        verify_chain(pem(make_leaf(own), own.certificate), BUNDLE, TRUST_DOMAIN, NOW)


def test_self_signed_leaf() -> None:
    with pytest.raises(VerificationError, match="does not verify"):
        verify_chain(pem(make_authority(common_name="me").certificate), BUNDLE, TRUST_DOMAIN, NOW)


def test_missing_intermediate() -> None:
    with pytest.raises(VerificationError, match="does not verify"):
        verify_chain(pem(make_leaf(INTERMEDIATE)), BUNDLE, TRUST_DOMAIN, NOW)


def test_workload_that_signs() -> None:
    """A stolen workload key signs itself another identity."""
    key = new_key()
    workload = Issuer(leaf(NOBODY, [uri(WEB)], BOTH, key.public_key(), INTERMEDIATE, VALIDITY), key)
    forged = make_leaf(workload, [uri(f"spiffe://{TRUST_DOMAIN}/ns/default/sa/admin")])
    with pytest.raises(VerificationError, match="does not verify"):
        verify_chain(pem(forged, workload.certificate, INTERMEDIATE.certificate), BUNDLE, TRUST_DOMAIN, NOW)


def test_path_length_of_the_intermediate() -> None:
    """A stolen intermediate makes another authority."""
    below = make_authority(INTERMEDIATE, 0, common_name="below")
    chain_pem = pem(make_leaf(below), below.certificate, INTERMEDIATE.certificate)
    with pytest.raises(VerificationError, match="path length"):
        verify_chain(chain_pem, BUNDLE, TRUST_DOMAIN, NOW)


def test_name_constraints_hold_whatever_trust_domain_is_expected() -> None:
    """Our authority's key is stolen and signs for another trust domain that shares this bundle."""
    certificate = make_leaf(INTERMEDIATE, [uri("spiffe://other.local/ns/a/sa/b")])
    with pytest.raises(VerificationError, match="permitted subtree"):
        verify_chain(pem(certificate, INTERMEDIATE.certificate), BUNDLE, "other.local", NOW)


def test_leaf_must_be_the_first() -> None:
    with pytest.raises(VerificationError, match="authority"):
        verify_chain(pem(INTERMEDIATE.certificate, make_leaf(INTERMEDIATE)), BUNDLE, TRUST_DOMAIN, NOW)


def test_long_chain_and_large_input() -> None:
    certificate = make_leaf(INTERMEDIATE)
    with pytest.raises(VerificationError, match="chain has 6"):
        verify_chain(pem(certificate, *[INTERMEDIATE.certificate] * 5), BUNDLE, TRUST_DOMAIN, NOW)
    with pytest.raises(VerificationError, match="larger than"):
        parse_chain("x" * 65537)


@pytest.mark.parametrize(
    "text",
    ["", "garbage", "\ud800", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
)
def test_garbage(text: str) -> None:
    with pytest.raises(VerificationError, match="cannot be parsed"):
        verify_chain(text, BUNDLE, TRUST_DOMAIN, NOW)
    with pytest.raises(VerificationError, match="cannot be parsed"):
        verify_chain(pem(make_leaf(ROOT)), text, TRUST_DOMAIN, NOW)


def test_every_damaged_byte_of_the_leaf_is_refused() -> None:
    good = der(make_leaf(ROOT))
    accepted = []
    for position in range(0, len(good), 7):
        damaged = bytearray(good)
        damaged[position] ^= 0x10
        try:
            certificate = x509.load_der_x509_certificate(bytes(damaged))
            verify_chain(pem(certificate), BUNDLE, TRUST_DOMAIN, NOW)
        except (ValueError, VerificationError):
            continue
        accepted.append(position)
    assert accepted == []


# ---------------------------------------------------------------- leaves


def test_identity_of_der() -> None:
    assert str(identity_of_der(der(make_leaf(ROOT)), TRUST_DOMAIN)) == WEB
    with pytest.raises(VerificationError, match="cannot be parsed"):
        identity_of_der(b"", TRUST_DOMAIN)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([], "0 URI names"),
        ([x509.DNSName("web")], "0 URI names"),
        ([uri(WEB), uri(f"spiffe://{TRUST_DOMAIN}/ns/default/sa/admin")], "2 URI names"),
        ([uri(WEB), uri("https://example.org/")], "2 URI names"),
        ([uri("https://example.org/")], "not a SPIFFE ID"),
        ([uri(WEB + "/")], "not a SPIFFE ID"),
        ([uri(WEB + "/../admin")], "not a SPIFFE ID"),
        ([uri(f"spiffe://{TRUST_DOMAIN}")], "is a trust domain"),
        ([uri("spiffe://other.local/ns/a/sa/b")], "not in trust domain"),
        ([uri(f"spiffe://x.{TRUST_DOMAIN}/ns/a/sa/b")], "not in trust domain"),
    ],
)
def test_names(names: list[x509.GeneralName], reason: str) -> None:
    with pytest.raises(VerificationError, match=reason):
        leaf_identity(make_leaf(ROOT, names), TRUST_DOMAIN)


def test_other_kinds_of_names_beside_the_uri_are_allowed() -> None:
    """X.509-SVID section 2: an SVID may contain any number of other SAN types."""
    assert leaf_identity(make_leaf(ROOT, [uri(WEB), x509.DNSName("web")]), TRUST_DOMAIN)


SAN = (x509.SubjectAlternativeName([uri(WEB)]), True)


@pytest.mark.parametrize(
    ("extensions", "reason"),
    [
        ([SAN], "key usage"),
        ([SAN, (usage(digital_signature=False), True)], "key usage"),
        ([SAN, (usage(key_cert_sign=True), True)], "key usage"),
        ([SAN, (usage(crl_sign=True), True)], "key usage"),
        ([SAN, (usage(), True), (x509.BasicConstraints(ca=True, path_length=None), True)], "authority"),
    ],
)
def test_leaf_that_can_sign(extensions: list[tuple[x509.ExtensionType, bool]], reason: str) -> None:
    with pytest.raises(VerificationError, match=reason):
        leaf_identity(bare(ROOT, *extensions), TRUST_DOMAIN)


def test_leaf_without_basic_constraints_is_fine() -> None:
    assert leaf_identity(bare(ROOT, SAN, (usage(), True)), TRUST_DOMAIN)


def test_unparsable_extension() -> None:
    broken = x509.UnrecognizedExtension(x509.oid.ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30\x82")
    certificate = bare(ROOT, (broken, True), (usage(), True))
    with pytest.raises(VerificationError, match="cannot be parsed"):
        leaf_identity(certificate, TRUST_DOMAIN)
    with pytest.raises(VerificationError, match="cannot be parsed"):
        subject_of_der(der(certificate))


# ---------------------------------------------------------------- users of the API


def test_admin(pki: Pki) -> None:
    certificate = parse_chain(pki.ca.sign_admin(create_csr(new_key(), []), "alice", ["system:masters"]))[0]
    subject = subject_of_der(der(certificate))
    assert (subject.user, subject.groups) == ("alice", ("system:masters",))


def test_a_user_may_be_in_no_group() -> None:
    subject = subject_of_der(der(make_leaf(ROOT, [], subject=name("alice"))))
    assert (subject.user, subject.groups) == ("alice", ())


ALICE = name("alice", ["system:masters"])


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        (make_leaf(ROOT), "workload"),
        (make_leaf(ROOT, subject=ALICE), "workload"),
        (make_leaf(ROOT, [x509.DNSName("controller")], subject=ALICE), "workload"),
        (make_leaf(ROOT, [], subject=ALICE, usages=(SERVER_AUTH,)), "not for clients"),
        (make_leaf(ROOT, [], subject=NOBODY), "names no user"),
        (make_leaf(ROOT, [], subject=x509.Name([*ALICE, *name("bob")])), "names no user"),
        (ROOT.certificate, "authority"),
        (bare(ROOT, (usage(), True)), "not for clients"),
    ],
)
def test_not_a_user(certificate: x509.Certificate, reason: str) -> None:
    with pytest.raises(VerificationError, match=reason):
        subject_of_der(der(certificate))


def test_garbage_is_no_user() -> None:
    with pytest.raises(VerificationError, match="cannot be parsed"):
        subject_of_der(b"\x30\x00")


def test_an_admin_is_no_workload(pki: Pki) -> None:
    chain_pem = pki.ca.sign_admin(create_csr(new_key(), []), "alice")
    with pytest.raises(VerificationError, match="0 URI names"):
        verify_chain(chain_pem, pki.ca.bundle_pem, TRUST_DOMAIN)
