"""Who a peer is, by its certificate. Anything odd is nobody.

OpenSSL verifies the chain (signatures, validity, path length, name constraints); the rules of
SPIFFE that it does not know are checked here: exactly one URI name, a leaf that cannot sign,
our trust domain, a path.

Source: X.509-SVID standard section 5.2 (leaf validation).
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import crypto

from tsujiban.identity.certificates import utc, validity_of
from tsujiban.resources.spiffe import SpiffeId, parse

MAX_CHAIN_BYTES = 64 * 1024
MAX_CHAIN_LENGTH = 5

ExtensionT = TypeVar("ExtensionT", bound=x509.ExtensionType)


class VerificationError(Exception):
    """The certificate proves no identity; the message says why."""


class VerifiedPeer(msgspec.Struct, frozen=True):
    """A peer whose chain and leaf were verified. Times in UNIX seconds."""

    spiffe_id: SpiffeId
    leaf: x509.Certificate
    not_before: float
    not_after: float


class Subject(msgspec.Struct, frozen=True):
    """A user of the API and the user's groups."""

    user: str
    groups: tuple[str, ...]


def parse_chain(pem: str) -> list[x509.Certificate]:
    """The certificates of a PEM text, in order; at least one. Raises VerificationError."""
    if len(pem) > MAX_CHAIN_BYTES:
        raise VerificationError(f"certificates are larger than {MAX_CHAIN_BYTES} bytes")
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except (ValueError, x509.InvalidVersion) as error:
        raise VerificationError("certificates cannot be parsed") from error


def verify_chain(
    chain_pem: str, bundle_pem: str, trust_domain: str, now: float | None = None
) -> VerifiedPeer:
    """Verify a chain (leaf first) against the roots of a trust domain at `now` (UNIX seconds;
    None is the present). Raises VerificationError."""
    chain = parse_chain(chain_pem)
    if len(chain) > MAX_CHAIN_LENGTH:
        raise VerificationError(f"chain has {len(chain)} certificates, more than {MAX_CHAIN_LENGTH}")
    store = crypto.X509Store()
    store.set_flags(crypto.X509StoreFlags.X509_STRICT)
    for root in parse_chain(bundle_pem):
        store.add_cert(crypto.X509.from_cryptography(root))
    if now is not None:
        store.set_time(utc(now))
    leaf, *intermediates = (crypto.X509.from_cryptography(certificate) for certificate in chain)
    try:
        crypto.X509StoreContext(store, leaf, intermediates).verify_certificate()
    except crypto.X509StoreContextError as error:
        raise VerificationError(f"chain does not verify: {error}") from error
    validity = validity_of(chain[0])
    return VerifiedPeer(
        leaf_identity(chain[0], trust_domain), chain[0], validity.not_before, validity.not_after
    )


def leaf_identity(leaf: x509.Certificate, trust_domain: str | None = None) -> SpiffeId:
    """The SPIFFE ID, in this trust domain (None: in any), of a leaf whose chain TLS has verified. Raises
    VerificationError."""
    try:
        extensions = leaf.extensions
    except (ValueError, x509.DuplicateExtension) as error:
        raise VerificationError("certificate extensions cannot be parsed") from error
    _check_is_leaf(extensions)
    uris = _names(extensions).get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise VerificationError(f"certificate has {len(uris)} URI names; a SPIFFE identity is exactly one")
    identity = parse(uris[0])
    if identity is None:
        raise VerificationError(f"{uris[0][:200]!a} is not a SPIFFE ID")
    if trust_domain is not None and identity.trust_domain != trust_domain:
        raise VerificationError(f"{identity} is not in trust domain {trust_domain}")
    if not identity.path:
        raise VerificationError(f"{identity} is a trust domain, not a peer")
    return identity


def identity_of_der(der: bytes, trust_domain: str) -> SpiffeId:
    """`leaf_identity` for a certificate as `SSLObject.getpeercert(True)` gives it."""
    return leaf_identity(_from_der(der), trust_domain)


def subject_of_der(der: bytes) -> Subject:
    """The API user of a client certificate whose chain TLS has verified. Raises VerificationError.

    A certificate with any alternative name is a workload, a node or a server: never a user.
    """
    leaf = _from_der(der)
    try:
        extensions = leaf.extensions
    except (ValueError, x509.DuplicateExtension) as error:
        raise VerificationError("certificate extensions cannot be parsed") from error
    _check_is_leaf(extensions)
    if list(_names(extensions)):
        raise VerificationError("certificate belongs to a workload, a node or a server, not to a user")
    usage = _extension(extensions, x509.ExtendedKeyUsage)
    if usage is None or ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise VerificationError("certificate is not for clients")
    users = _texts(leaf.subject, NameOID.COMMON_NAME)
    groups = _texts(leaf.subject, NameOID.ORGANIZATION_NAME)
    if len(users) != 1 or not users[0]:
        raise VerificationError("certificate names no user (one CN)")
    return Subject(users[0], groups)


def _from_der(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion) as error:
        raise VerificationError("certificate cannot be parsed") from error


def _check_is_leaf(extensions: x509.Extensions) -> None:
    constraints = _extension(extensions, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise VerificationError("certificate is an authority's, not a peer's")
    usage = _extension(extensions, x509.KeyUsage)
    if usage is None or not usage.digital_signature or usage.key_cert_sign or usage.crl_sign:
        raise VerificationError("certificate's key usage is not that of a peer")


def _names(extensions: x509.Extensions) -> x509.SubjectAlternativeName:
    return _extension(extensions, x509.SubjectAlternativeName) or x509.SubjectAlternativeName([])


def _extension(extensions: x509.Extensions, kind: type[ExtensionT]) -> ExtensionT | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _texts(subject: x509.Name, oid: x509.ObjectIdentifier) -> tuple[str, ...]:
    return tuple(str(attribute.value) for attribute in subject.get_attributes_for_oid(oid))
