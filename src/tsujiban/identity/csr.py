"""Certificate signing requests as the CA sees them: untrusted input that proves one thing only.

A CSR proves that its sender holds a private key. Everything else in it is a wish; what is
granted is decided elsewhere and a CSR that wishes for something different is refused, so that
a confused or lying requester is noticed instead of silently given another name.
"""

from __future__ import annotations

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tsujiban.identity.certificates import PublicKey

MAX_CSR_BYTES = 16 * 1024
_CURVES = (ec.SECP256R1, ec.SECP384R1)
_RSA_BITS = (2048, 4096)
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


class CsrRefused(ValueError):
    """The CSR is malformed, forged, weak, or asks for what is not granted."""


class UserRequest(msgspec.Struct, frozen=True):
    """A user and groups that somebody who holds a key wants to be."""

    user: str
    groups: tuple[str, ...]
    key: PublicKey


def check_csr(csr_pem: str, granted: frozenset[x509.GeneralName]) -> ec.EllipticCurvePublicKey:
    """Return the public key of a CSR that asks for nothing but `granted`. Raises CsrRefused.

    Accepted: ECDSA on P-256 or P-384, signed with SHA-2 by that very key. A subjectAltName, when
    present, must be exactly the granted set; a request to be a CA is refused; the subject and
    all other wishes are ignored, never copied.
    """
    csr, key = _parsed(csr_pem)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, _CURVES):
        raise CsrRefused("CSR key must be ECDSA on P-256 or P-384")
    _check_extensions(csr.extensions, granted)
    return key


def check_user_csr(csr_pem: str) -> UserRequest:
    """What a CSR for a user of the API asks for: CN is the user, each O a group. Raises CsrRefused.

    Accepted: ECDSA as in `check_csr`, or RSA of 2048 to 4096 bits. Anything in the subject but one CN
    and O is refused, as are alternative names. Whether the names may be granted is the caller's to say.
    """
    csr, key = _parsed(csr_pem)
    if isinstance(key, ec.EllipticCurvePublicKey):
        strong = isinstance(key.curve, _CURVES)
    else:
        strong = isinstance(key, rsa.RSAPublicKey) and _RSA_BITS[0] <= key.key_size <= _RSA_BITS[1]
    if not strong:
        raise CsrRefused("CSR key must be ECDSA on P-256 or P-384, or RSA of 2048 to 4096 bits")
    _check_extensions(csr.extensions, frozenset())
    if any(
        attribute.oid not in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME) for attribute in csr.subject
    ):
        raise CsrRefused("CSR subject may hold one CN (the user) and O (groups) only")
    users = [str(found.value) for found in csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = [str(found.value) for found in csr.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    if len(users) != 1 or not all(text.strip() and text.isprintable() for text in (*users, *groups)):
        raise CsrRefused("CSR subject must name one user (CN)")
    return UserRequest(users[0], tuple(groups), key)


def _parsed(csr_pem: str) -> tuple[x509.CertificateSigningRequest, PublicKey]:
    if len(csr_pem) > MAX_CSR_BYTES:
        raise CsrRefused(f"CSR is larger than {MAX_CSR_BYTES} bytes")
    try:
        csr = x509.load_pem_x509_csr(csr_pem.encode())
        key = csr.public_key()
        csr.extensions  # noqa: B018 - parsed here, where a damaged one is caught
        algorithm = csr.signature_hash_algorithm
        signed = csr.is_signature_valid
    except (
        ValueError,
        UnsupportedAlgorithm,
        InvalidSignature,
        x509.DuplicateExtension,
        x509.InvalidVersion,
    ) as error:
        raise CsrRefused("CSR cannot be parsed") from error
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise CsrRefused("CSR key must be ECDSA on P-256 or P-384")
    if not isinstance(algorithm, _HASHES):
        raise CsrRefused("CSR must be signed with SHA-256, SHA-384 or SHA-512")
    if not signed:
        raise CsrRefused("CSR signature is not valid: its sender does not hold the key")
    return csr, key


def _check_extensions(extensions: x509.Extensions, granted: frozenset[x509.GeneralName]) -> None:
    for extension in extensions:
        wish = extension.value
        if isinstance(wish, x509.SubjectAlternativeName):
            names = list(wish)
            if len(names) != len(granted) or frozenset(names) != granted:
                raise CsrRefused("CSR asks for other names than are granted")
        elif isinstance(wish, x509.BasicConstraints) and wish.ca:
            raise CsrRefused("CSR asks to be a certificate authority")
