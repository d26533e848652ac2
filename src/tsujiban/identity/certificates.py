"""The certificate profiles of the trust domain: what each kind of certificate says, and no more.

Sources: X.509-SVID standard sections 2 to 4 (one URI SAN, key usage, path length, name
constraints), RFC 5280 section 4.2 (which extensions are critical).
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey  # RSA for users only, whose tools make such keys

CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH

_NO_USAGE = {
    "digital_signature": False,
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "key_cert_sign": False,
    "crl_sign": False,
    "encipher_only": False,
    "decipher_only": False,
}


class Issuer(msgspec.Struct, frozen=True):
    """A certificate that signs others, with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def __repr__(self) -> str:
        return f"Issuer({self.certificate.subject.rfc4514_string()})"


class Validity(msgspec.Struct, frozen=True):
    """First and last moment, UNIX seconds."""

    not_before: float
    not_after: float


def name(common_name: str, organizations: Sequence[str] = ()) -> x509.Name:
    """A subject of CN and any number of O."""
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def authority(
    trust_domain: str,
    common_name: str,
    key: ec.EllipticCurvePrivateKey,
    parent: Issuer | None,
    path_length: int,
    validity: Validity,
) -> x509.Certificate:
    """A certificate that signs: self-signed when `parent` is None. Confined to the trust domain."""
    subject = name(common_name, ["tsujiban"])
    builder = (
        _builder(subject, parent.certificate.subject if parent else subject, key.public_key(), validity)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(x509.KeyUsage(**{**_NO_USAGE, "key_cert_sign": True, "crl_sign": True}), critical=True)
        .add_extension(
            x509.NameConstraints([x509.UniformResourceIdentifier(trust_domain)], None), critical=True
        )
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")]),
            critical=False,
        )
    )
    return _sign(builder, parent.key if parent else key)


def leaf(
    subject: x509.Name,
    names: Sequence[x509.GeneralName],
    usages: Sequence[x509.ObjectIdentifier],
    public_key: PublicKey,
    issuer: Issuer,
    validity: Validity,
) -> x509.Certificate:
    """A certificate that authenticates. Its names are critical when the subject is empty."""
    builder = (
        _builder(subject, issuer.certificate.subject, public_key, validity)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{**_NO_USAGE, "digital_signature": True}), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=len(list(subject)) == 0)
    return _sign(builder, issuer.key)


def utc(seconds: float) -> datetime.datetime:
    """A UNIX time as X.509 has it: UTC, whole seconds."""
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)


def validity_of(certificate: x509.Certificate) -> Validity:
    """The validity of a certificate in UNIX seconds."""
    return Validity(certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp())


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: PublicKey, validity: Validity
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(utc(validity.not_before))
        .not_valid_after(utc(validity.not_after))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _sign(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return builder.add_extension(signer, critical=False).sign(key, hashes.SHA256())
