"""The CA's two secrets on disk: made whole, checked on every load, never silently replaced.

A CA that regenerates itself when a file is missing would cut every node off at once, and one
that loads a key others could read would sign for whoever read it; both are errors here.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from tsujiban.identity.certificates import Issuer, validity_of
from tsujiban.identity.files import (
    PrivateFileError,
    check_private_directory,
    make_private_directory,
    read_private,
    sync_directory,
    write_private,
)
from tsujiban.identity.keys import key_to_pem

ROOT_FILE = "root.pem"
INTERMEDIATE_FILE = "intermediate.pem"


class CaStoreError(ValueError):
    """The CA on disk cannot be used; the message says why and what to do."""


class CaExistsError(CaStoreError):
    """There is a CA in that directory already."""


def create(directory: Path, root: Issuer, intermediate: Issuer) -> None:
    """Write both into a new `directory` that appears whole. Raises CaExistsError, OSError."""
    directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    staging = directory.with_name(f".{directory.name}.{secrets.token_hex(8)}")
    make_private_directory(staging)
    try:
        write_private(staging / ROOT_FILE, issuer_to_pem(root))
        write_private(staging / INTERMEDIATE_FILE, issuer_to_pem(intermediate))
        os.rename(staging, directory)  # atomic; an empty directory gives way, a full one does not
    except OSError as error:
        shutil.rmtree(staging)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise CaExistsError(f"{directory} holds a certificate authority already") from error
        raise
    sync_directory(directory.parent)


def load(directory: Path, trust_domain: str, now: float) -> tuple[Issuer, Issuer]:
    """Read and check root and intermediate. Raises CaStoreError."""
    try:
        check_private_directory(directory)
        root = issuer_from_pem(directory / ROOT_FILE, read_private(directory / ROOT_FILE))
        path = directory / INTERMEDIATE_FILE
        intermediate = issuer_from_pem(path, read_private(path))
    except PrivateFileError as error:
        raise CaStoreError(f"certificate authority: {error}") from error
    _check_issued(directory / ROOT_FILE, root, root, trust_domain)
    _check_issued(directory / INTERMEDIATE_FILE, intermediate, root, trust_domain)
    if validity_of(root.certificate).not_after <= now:
        raise CaStoreError(f"{directory / ROOT_FILE}: the root certificate has expired; make a new authority")
    return root, intermediate


def issuer_to_pem(issuer: Issuer) -> bytes:
    """Key, then certificate."""
    return key_to_pem(issuer.key).encode() + issuer.certificate.public_bytes(Encoding.PEM)


def issuer_from_pem(path: Path, data: bytes) -> Issuer:
    """Key and certificate, in either order; `path` is for the message. Raises CaStoreError."""
    try:
        key = load_pem_private_key(data, password=None)
        certificate = x509.load_pem_x509_certificate(data)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise CaStoreError(
            f"{path} does not hold a key and a certificate; restore it from a backup"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
        raise CaStoreError(f"{path}: its key is not the key of its certificate; restore it from a backup")
    return Issuer(certificate, key)


def _check_issued(path: Path, issuer: Issuer, parent: Issuer, trust_domain: str) -> None:
    try:
        issuer.certificate.verify_directly_issued_by(parent.certificate)
        names = issuer.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        ca = issuer.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
        raise CaStoreError(
            f"{path}: not a certificate of this authority; restore it from a backup"
        ) from error
    if not ca or names.get_values_for_type(x509.UniformResourceIdentifier) != [f"spiffe://{trust_domain}"]:
        raise CaStoreError(f"{path}: not the authority of trust domain {trust_domain}")
