"""Tokens and their keys, as an identity provider would make them (RFC 7515, 7517)."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """One identity provider, with a key of its own or that of another."""

    def __init__(self, name: str, like: Issuer | None = None) -> None:
        self.name = name
        self._key: rsa.RSAPrivateKey = like._key if like else rsa.generate_private_key(65537, 2048)

    @property
    def jwks(self) -> str:
        """Its public keys."""
        numbers = self._key.public_key().public_numbers()
        parts = {
            name: _encoded(number.to_bytes((number.bit_length() + 7) // 8, "big"))
            for name, number in (("n", numbers.n), ("e", numbers.e))
        }
        return json.dumps({"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k", **parts}]})

    def token(self, **claims: Any) -> str:
        """A token of its own, good for an hour unless the claims say otherwise."""
        payload = {"iss": self.name, "exp": int(time.time()) + 3600, **claims}
        header = {"alg": "RS256", "typ": "JWT", "kid": "k"}
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in (header, payload))
        return f"{signed}.{_encoded(self._key.sign(signed.encode(), PKCS1v15(), SHA256()))}"
