"""Profiles: what every certificate of the trust domain says, extension by extension."""

from __future__ import annotations

import pytest
from cryptography import x509

from tsujiban.identity.certificates import (
    CLIENT_AUTH,
    SERVER_AUTH,
    Issuer,
    Validity,
    authority,
    leaf,
    name,
    utc,
    validity_of,
)
from tsujiban.identity.keys import new_key

VALIDITY = Validity(1_000_000_000.9, 2_000_000_000.9)
NAME = x509.UniformResourceIdentifier("spiffe://bank.local/ns/a/sa/b")


def root() -> Issuer:
    key = new_key()
    return Issuer(authority("bank.local", "root", key, None, 1, VALIDITY), key)


def critical(certificate: x509.Certificate) -> dict[str, bool]:
    return {type(extension.value).__name__: extension.critical for extension in certificate.extensions}


def test_authority() -> None:
    issuer = root()
    certificate = issuer.certificate
    assert critical(certificate) == {
        "BasicConstraints": True,
        "KeyUsage": True,
        "NameConstraints": True,
        "SubjectAlternativeName": False,
        "SubjectKeyIdentifier": False,
        "AuthorityKeyIdentifier": False,
    }
    extensions = certificate.extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 1)
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (True, True, False)
    permitted = extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees
    assert permitted == [x509.UniformResourceIdentifier("bank.local")]
    names = list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    assert names == [x509.UniformResourceIdentifier("spiffe://bank.local")]
    certificate.verify_directly_issued_by(certificate)


def test_leaf() -> None:
    issuer, key = root(), new_key()
    certificate = leaf(x509.Name([]), [NAME], [CLIENT_AUTH, SERVER_AUTH], key.public_key(), issuer, VALIDITY)
    certificate.verify_directly_issued_by(issuer.certificate)
    assert certificate.public_key() == key.public_key()
    assert critical(certificate) == {
        "BasicConstraints": True,
        "KeyUsage": True,
        "ExtendedKeyUsage": False,
        "SubjectAlternativeName": True,  # RFC 5280 4.2.1.6: the subject is empty
        "SubjectKeyIdentifier": False,
        "AuthorityKeyIdentifier": False,
    }
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_cert_sign, usage.crl_sign) == (True, False, False)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_names_beside_a_subject_are_not_critical_and_may_be_absent() -> None:
    issuer, key = root(), new_key().public_key()
    with_names = leaf(name("x"), [NAME], [CLIENT_AUTH], key, issuer, VALIDITY)
    assert critical(with_names)["SubjectAlternativeName"] is False
    assert "SubjectAlternativeName" not in critical(leaf(name("x"), [], [CLIENT_AUTH], key, issuer, VALIDITY))


def test_times_are_whole_seconds_and_serials_random() -> None:
    issuer, key = root(), new_key().public_key()
    certificates = [leaf(name("x"), [], [CLIENT_AUTH], key, issuer, VALIDITY) for _ in range(5)]
    assert validity_of(certificates[0]) == Validity(1_000_000_000.0, 2_000_000_000.0)
    serials = {certificate.serial_number for certificate in certificates}
    assert len(serials) == 5
    assert all(serial.bit_length() > 64 for serial in serials)


def test_authority_key_identifiers_link() -> None:
    issuer = root()
    certificate = leaf(name("x"), [], [CLIENT_AUTH], new_key().public_key(), issuer, VALIDITY)
    child = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    parent = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert child.key_identifier == parent.digest


def test_issuer_never_prints_its_key() -> None:
    text = repr(root())
    assert "root" in text
    assert "PrivateKey" not in text


def test_utc_truncates() -> None:
    assert utc(1.9).timestamp() == 1.0


@pytest.mark.parametrize("groups", [[], ["a"], ["a", "b"]])
def test_subject(groups: list[str]) -> None:
    subject = name("user", groups)
    assert [a.value for a in subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)] == groups
