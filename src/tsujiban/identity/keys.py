"""Keys and signing requests, made where the key is used.

A workload's private key is made on its node and lives in memory only; the CSR is all that
leaves the node.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh ECDSA P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """PKCS #8, unencrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def create_csr(key: ec.EllipticCurvePrivateKey, names: Sequence[x509.GeneralName]) -> str:
    """A CSR in PEM with an empty subject that asks for `names` (none: leaves it to the CA)."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def create_spiffe_csr(key: ec.EllipticCurvePrivateKey, spiffe_id: str) -> str:
    """A CSR in PEM that asks for exactly one SPIFFE ID."""
    return create_csr(key, [x509.UniformResourceIdentifier(spiffe_id)])
