"""How a machine becomes a node: what it is given, what it asks, what it gets.

The machine trusts nothing yet but the digest in its join file, so it first fetches the trust
bundle, compares the digest, and only then, over TLS verified by that bundle, sends its token.
"""

from __future__ import annotations

import base64
import hashlib
import re

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
    blocks = _CERTIFICATE.findall(bundle_pem)
    if not blocks:
        raise ValueError("bundle holds no certificate")
    return hashlib.sha256(b"".join(base64.b64decode(block) for block in blocks)).hexdigest()
