"""JSON Web Tokens signed with ECDSA P-256 (ES256), and nothing else of that standard.

One algorithm, named by us and not by the token; a key only from our own list; strict base64url;
bounded. So the known attacks (alg none, HMAC with a public key, keys that come with the token) have
nothing to work on. Sources: RFC 7515 (JWS compact form), RFC 7518 section 3.4 (ES256), RFC 8725.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

ALGORITHM = "ES256"
MAX_BYTES = 8 * 1024
_HALF = 32  # bytes of r and of s
_PART = re.compile(r"[A-Za-z0-9_-]+\Z", re.ASCII)
_ES256 = ec.ECDSA(hashes.SHA256())


class JwtRefused(ValueError):
    """Not a token that one of our keys signed; the text holds no part of it."""


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str
    typ: str = "JWT"
    crit: Any = None


def sign(key: ec.EllipticCurvePrivateKey, key_id: str, claims: Mapping[str, Any]) -> str:
    """A token with these claims."""
    header = {"alg": ALGORITHM, "kid": key_id, "typ": "JWT"}
    signed = f"{encode(msgspec.json.encode(header))}.{encode(msgspec.json.encode(claims))}"
    r, s = decode_dss_signature(key.sign(signed.encode(), _ES256))
    return f"{signed}.{encode(r.to_bytes(_HALF, 'big') + s.to_bytes(_HALF, 'big'))}"


def verify(token: str, keys: Mapping[str, ec.EllipticCurvePublicKey]) -> dict[str, Any]:
    """The claims of a token that the key it names has signed; whom and when it is for is the caller's to
    check. The signature is looked at only when everything before it is in order. Raises JwtRefused."""
    if len(token) > MAX_BYTES:
        raise JwtRefused(f"longer than {MAX_BYTES} bytes")
    parts = token.split(".")
    if len(parts) != 3 or not all(_PART.match(part) for part in parts):
        raise JwtRefused("not three parts of base64url")
    try:
        header = msgspec.json.decode(decode(parts[0]), type=_Header)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise JwtRefused("the header is not one of ours") from None
    if header.alg != ALGORITHM:
        raise JwtRefused(f"algorithm {header.alg[:16]!a} is not {ALGORITHM}")
    if header.crit is not None or header.typ != "JWT":
        raise JwtRefused("the header asks for what we do not know")
    key = keys.get(header.kid)
    if key is None:
        raise JwtRefused(f"no key {header.kid[:64]!a}")
    signature = decode(parts[2])
    if len(signature) != 2 * _HALF:
        raise JwtRefused("the signature has a wrong length")
    r, s = (int.from_bytes(half, "big") for half in (signature[:_HALF], signature[_HALF:]))
    try:
        key.verify(encode_dss_signature(r, s), f"{parts[0]}.{parts[1]}".encode(), _ES256)
    except InvalidSignature:
        raise JwtRefused("the signature is not valid") from None
    try:
        return msgspec.json.decode(decode(parts[1]), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise JwtRefused("the claims are not a JSON object") from None


def unverified(token: str) -> dict[str, Any]:
    """What a token claims, for who can only hold it: nothing is proven. Empty when it cannot be read."""
    try:
        return msgspec.json.decode(decode(token[:MAX_BYTES].split(".")[1]), type=dict[str, Any])
    except (IndexError, msgspec.MsgspecError, UnicodeDecodeError, JwtRefused):
        return {}


def key_id(token: str) -> str:
    """The key that a token names, unverified; "" when it names none."""
    try:
        return msgspec.json.decode(decode(token[:MAX_BYTES].split(".")[0]), type=_Header).kid
    except (msgspec.MsgspecError, UnicodeDecodeError, JwtRefused):
        return ""


def encode(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(part: str) -> bytes:
    """The bytes of base64url without padding, in its one form. Raises JwtRefused."""
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise JwtRefused("not base64url") from None
    if encode(data) != part:  # one text for each token, so that none passes in two spellings
        raise JwtRefused("not base64url in its one form")
    return data
