"""The authority's list of certificates that are taken back, as X.509 has it, and what makes one usable.

A verifier that is given a list wants one from every authority of a chain, and refuses whatever it has
none for, so a wrong list cuts the whole mesh off: it is checked on the node before any proxy is told of it.

A list ends with its root and begins with it, and is signed without chance: a node that goes on without its
controller must not lose its connections because a list has grown old, and the same list is the same bytes, so
that nobody is told twice. That a list is the newest is the node stream's business.

Source: RFC 5280 sections 5 and 6.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tsujiban.identity.certificates import Issuer, Validity, utc
from tsujiban.identity.verify import VerificationError, parse_chain

MAX_BYTES = 1024 * 1024
_PEM = re.compile(r"-----BEGIN X509 CRL-----\n.*?-----END X509 CRL-----\n", re.DOTALL)


def sign(issuer: Issuer, serials: Iterable[int], validity: Validity) -> str:
    """The list of one authority, PEM. Raises ValueError for what is no serial number."""
    begins = utc(validity.not_before)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(begins)
        .next_update(utc(validity.not_after))
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
        )
    )
    for serial in sorted(set(serials)):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(begins).build()
        builder = builder.add_revoked_certificate(entry)
    made = builder.sign(issuer.key, hashes.SHA256(), ecdsa_deterministic=True)
    return made.public_bytes(Encoding.PEM).decode()


def check(lists_pem: str, chain_pem: str, bundle_pem: str, serials: Iterable[str], now: float) -> None:
    """Whether these lists are of all authorities of a chain (leaf first), say what they should and count now
    (UNIX seconds). `serials` are what must be in them, hex. Raises VerificationError."""
    if len(lists_pem) > MAX_BYTES:
        raise VerificationError(f"the list of revoked certificates is larger than {MAX_BYTES} bytes")
    lists, listed = _parsed(lists_pem)
    for authority in (*parse_chain(chain_pem)[1:], *parse_chain(bundle_pem)):
        _check_one(lists, authority, now)
    missing = {int(one, 16) for one in serials} - listed
    if missing:
        raise VerificationError(f"serial number {min(missing):x} is not in the signed list")


@lru_cache(4)  # every pod of a node is given the same one
def _parsed(text: str) -> tuple[tuple[x509.CertificateRevocationList, ...], frozenset[int]]:
    """The lists, and all serial numbers on them."""
    try:
        lists = tuple(x509.load_pem_x509_crl(one.encode()) for one in _PEM.findall(text))
        listed = frozenset(entry.serial_number for one in lists for entry in one)
    except ValueError as error:
        raise VerificationError("the list of revoked certificates cannot be parsed") from error
    if _PEM.sub("", text):
        raise VerificationError("the list of revoked certificates is followed by something else")
    return lists, listed


def _check_one(
    lists: Iterable[x509.CertificateRevocationList], authority: x509.Certificate, now: float
) -> None:
    key = authority.public_key()
    name = authority.subject.rfc4514_string()
    mine = [
        one
        for one in lists
        if one.issuer == authority.subject
        and isinstance(key, ec.EllipticCurvePublicKey)
        and one.is_signature_valid(key)
    ]
    if not mine:
        raise VerificationError(f"there is no signed list of revoked certificates of {name}")
    begins, ends = mine[0].last_update_utc, mine[0].next_update_utc
    if ends is None or not begins <= utc(now) < ends:
        raise VerificationError(f"the list of revoked certificates of {name} does not count now")
