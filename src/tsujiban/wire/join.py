"""How a machine becomes a node: what it is given, what it asks, what it gets.

The machine trusts nothing yet but the digest in its join file, so it first fetches the trust
bundle, compares the digest, and only then, over TLS verified by that bundle, sends its token.
"""

from __future__ import annotations

import base64
import hashlib
import re
import ssl

import msgspec

JOIN_PATH = "/tsujiban/v1/join"
BUNDLE_PATH = "/tsujiban/v1/bundle"  # the trust bundle, PEM, to anyone who asks

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)


class JoinFile(msgspec.Struct, frozen=True, kw_only=True):
    """Given to a machine that is to join. Holds a secret: mode 0600."""

    server: str  # https://host:port of the API
    node: str
    token: str
    ca_sha256: str  # `bundle_digest` of the cluster's trust bundle

    def __repr__(self) -> str:
        return f"JoinFile(server={self.server!r}, node={self.node!r})"


class JoinRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /tsujiban/v1/join."""

    token: str
    csr_pem: str
    node: str

    def __repr__(self) -> str:
        return f"JoinRequest(node={self.node!r})"


class JoinResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a `JoinRequest`."""

    chain_pem: str  # leaf first, without root
    bundle_pem: str
    trust_domain: str


def bundle_digest(bundle_pem: str) -> str:
    """SHA-256, hexadecimal, of the certificates of a bundle (DER, in order). Raises ValueError."""
    return hashlib.sha256(b"".join(_certificates(bundle_pem))).hexdigest()


def canonical(bundle_pem: str) -> str:
    """The certificates that `bundle_digest` is about, written anew. Raises ValueError.

    OpenSSL finds certificates in a text that are not among those, under other headings (RFC 7468, section
    5.2, knows some): of a text whose digest is right, nothing else may be used."""
    return "".join(map(ssl.DER_cert_to_PEM_cert, _certificates(bundle_pem)))


def _certificates(bundle_pem: str) -> list[bytes]:
    blocks = _CERTIFICATE.findall(bundle_pem)
    if not blocks:
        raise ValueError("bundle holds no certificate")
    return [base64.b64decode("".join(block.split()), validate=True) for block in blocks]
