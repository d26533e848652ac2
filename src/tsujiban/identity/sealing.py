"""A secret for one receiver, who has shown a fresh key and a one-time token.

X25519 (RFC 7748) of two keys that are made for this alone, HKDF-SHA256 (RFC 5869) with the token as salt, and
AES-256-GCM. What was agreed on before, the `context`, and both public keys go into key and seal: a seal that
was made for another token, another receiver or another conversation does not open. Pure."""

from __future__ import annotations

import hashlib
import secrets

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_LABEL = "tsujiban sealing 1"
_NONCE = 12  # bytes


class SealError(ValueError):
    """The receiver's key is none, or the seal does not open; the text holds no secret."""


class Sealed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be seen by anybody."""

    sender: bytes  # public key
    nonce: bytes
    ciphertext: bytes


def public_bytes(key: X25519PrivateKey) -> bytes:
    """What the receiver shows: 32 bytes."""
    return key.public_key().public_bytes_raw()


def seal(secret: bytes, receiver: bytes, token: str, context: bytes) -> Sealed:
    """Seal for the owner of the public key `receiver`. Raises SealError when it is none."""
    own = X25519PrivateKey.generate()
    sender = public_bytes(own)
    bound = _bound(receiver, sender, context)
    nonce = secrets.token_bytes(_NONCE)
    ciphertext = AESGCM(_key(own, receiver, token, bound)).encrypt(nonce, secret, bound)
    return Sealed(sender=sender, nonce=nonce, ciphertext=ciphertext)


def unseal(sealed: Sealed, own: X25519PrivateKey, token: str, context: bytes) -> bytes:
    """What was sealed for `own`. Raises SealError."""
    bound = _bound(public_bytes(own), sealed.sender, context)
    key = _key(own, sealed.sender, token, bound)
    if len(sealed.nonce) != _NONCE:
        raise SealError("the seal is not one of ours")
    try:
        return AESGCM(key).decrypt(sealed.nonce, sealed.ciphertext, bound)
    except InvalidTag as error:
        raise SealError("the seal is for another receiver, token or conversation, or was changed") from error


def _bound(receiver: bytes, sender: bytes, context: bytes) -> bytes:
    """All that both sides must agree on, so written that no two differ and look alike."""
    return msgspec.msgpack.encode((_LABEL, receiver, sender, context))


def _key(own: X25519PrivateKey, other: bytes, token: str, bound: bytes) -> bytes:
    try:
        shared = own.exchange(X25519PublicKey.from_public_bytes(other))  # refuses points of small order
    except ValueError as error:
        raise SealError("the public key is not one of X25519") from error
    salt = hashlib.sha256(token.encode()).digest()
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=bound).derive(shared)
