"""Whether an issuer's inline keys hold one that Envoy can use.

Envoy refuses a whole configuration over a key set without any, and with it whatever else came along;
so a key set that is rubbish must not reach it. Sources: RFC 7517, RFC 7518, RFC 8037.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

_CURVES: dict[str, tuple[ec.EllipticCurve, str]] = {
    "P-256": (ec.SECP256R1(), "ES256"),
    "P-384": (ec.SECP384R1(), "ES384"),
    "P-521": (ec.SECP521R1(), "ES512"),
}
_RSA = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
_MIN_BITS = 1024  # of an RSA modulus


def usable(jwks: str) -> bool:
    """Whether a JWK set holds at least one public key that can verify a token."""
    try:
        keys = msgspec.json.decode(jwks)["keys"]
        return any(_verifies(key) for key in keys)
    except (msgspec.DecodeError, KeyError, TypeError):
        return False


def _verifies(key: Any) -> bool:
    try:
        return _public(key, key.get("alg"))
    except (AttributeError, KeyError, TypeError, ValueError, binascii.Error):
        return False


def _public(key: dict[str, Any], algorithm: object) -> bool:
    if key["kty"] == "RSA":
        fits = algorithm is None or algorithm in _RSA
        return fits and _number(key["n"]).bit_length() >= _MIN_BITS and _number(key["e"]) > 1
    if key["kty"] == "EC":
        curve, name = _CURVES[key["crv"]]
        ec.EllipticCurvePublicNumbers(_number(key["x"]), _number(key["y"]), curve).public_key()
        return algorithm in {None, name}
    if key["kty"] == "OKP":
        return key["crv"] == "Ed25519" and len(_decoded(key["x"])) == 32 and algorithm in {None, "EdDSA"}
    return False


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _number(text: str) -> int:
    return int.from_bytes(_decoded(text), "big")
