"""The node's own key, certificate and trust bundle, in two private files of its state directory.

Key and chain share one file, so that a crash between two writes cannot leave a key beside the
certificate of another.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from tsujiban.identity.files import PrivateFileError, make_private_directory, read_private, write_private
from tsujiban.identity.keys import key_to_pem
from tsujiban.identity.verify import VerificationError, verify_chain
from tsujiban.resources.names import node_identity
from tsujiban.wire.join import canonical

CREDENTIALS_FILE = "node.pem"
TRUST_FILE = "trust.json"
_CHAIN_MARK = "-----BEGIN CERTIFICATE-----"


class CredentialsError(Exception):
    """The node has no usable certificate; the message says why. It must join (again)."""


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """Whom this node trusts."""

    trust_domain: str
    bundle_pem: str


class NodeCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """What the node presents, where it lies, and until when it is good."""

    path: Path  # key and chain, PEM
    trust: Trust
    not_before: float  # UNIX seconds
    not_after: float


def save(
    directory: Path, node: str, key: ec.EllipticCurvePrivateKey, chain_pem: str, trust: Trust
) -> NodeCredentials:
    """Verify that the chain is this node's and for this key, then store all. Raises CredentialsError."""
    _verify(node, key.public_key(), chain_pem, trust)
    try:
        make_private_directory(directory)
    except PrivateFileError as error:
        raise CredentialsError(str(error)) from error
    write_private(directory / TRUST_FILE, msgspec.json.encode(trust))
    write_private(directory / CREDENTIALS_FILE, (key_to_pem(key) + chain_pem).encode())
    return load(directory, node)


def load(directory: Path, node: str) -> NodeCredentials:
    """Read and verify. Raises CredentialsError when they are missing, foreign or expired."""
    path = directory / CREDENTIALS_FILE
    try:
        text = read_private(path).decode()
        trust = msgspec.json.decode(read_private(directory / TRUST_FILE), type=Trust)
        # of a bundle that an older version has kept as it came, too, only what its digest was of
        trust = msgspec.structs.replace(trust, bundle_pem=canonical(trust.bundle_pem))
    except (PrivateFileError, ValueError, msgspec.MsgspecError) as error:
        raise CredentialsError(f"no usable node certificate: {error}") from error
    chain_pem = text[text.find(_CHAIN_MARK) :]
    not_before, not_after = _verify(node, None, chain_pem, trust)
    return NodeCredentials(path=path, trust=trust, not_before=not_before, not_after=not_after)


def _verify(
    node: str, public_key: ec.EllipticCurvePublicKey | None, chain_pem: str, trust: Trust
) -> tuple[float, float]:
    try:
        peer = verify_chain(chain_pem, trust.bundle_pem, trust.trust_domain, time.time())
    except VerificationError as error:
        raise CredentialsError(f"the node's certificate is not good: {error}") from error
    if str(peer.spiffe_id) != node_identity(trust.trust_domain, node):
        raise CredentialsError(f"the certificate is for {peer.spiffe_id}, not for node {node!r}")
    if public_key is not None and peer.leaf.public_key() != public_key:
        raise CredentialsError("the certificate is for another key than this node's")
    return peer.not_before, peer.not_after
