"""The keys that sign service account tokens: their own, apart from the CA's, and replaced in time.

A key is published (JWKS) before it signs, and stays published until the last token that it may have
signed has ended. Files of a private directory, one a key, named by the second it was made.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from tsujiban.identity.files import make_private_directory, read_private, write_private
from tsujiban.identity.jwt import ALGORITHM, decode, encode
from tsujiban.identity.keys import key_to_pem, new_key

DAY = 24 * 3600.0
ROTATION = 30 * DAY  # seconds after which a new key is made
PUBLISHED_BEFORE = 3600.0  # seconds between a key's beginning and its first signature
MAX_TOKEN_LIFETIME = 90 * DAY
MAX_AGE = (
    ROTATION + PUBLISHED_BEFORE + MAX_TOKEN_LIFETIME
)  # seconds after which no token can be left of a key
_REREAD = 5.0  # seconds between looks for keys that another process has made


class SigningKeyError(ValueError):
    """A key on disk cannot be used; the message says what to do."""


class SigningKey(msgspec.Struct, frozen=True):
    """One key; `made` in UNIX seconds."""

    id: str
    made: int
    key: ec.EllipticCurvePrivateKey

    def __repr__(self) -> str:
        return f"SigningKey({self.id})"


class SigningKeys:
    """All of them. Raises PrivateFileError, SigningKeyError, OSError when they cannot be read or made."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.time) -> None:
        make_private_directory(directory)
        self._directory = directory
        self._clock = clock
        self._keys: list[SigningKey] = []
        self._read = 0.0
        self._load()
        self.rotate()

    def current(self) -> SigningKey:
        """The key to sign with: the newest that has been published for long enough."""
        self.rotate()
        ready = [key for key in self._keys if key.made <= self._clock() - PUBLISHED_BEFORE]
        return ready[-1] if ready else self._keys[0]

    def public(self, wanted: str = "") -> dict[str, ec.EllipticCurvePublicKey]:
        """The keys to verify with, by id. When `wanted` is not there, others may have made it: look again."""
        if wanted and wanted not in {key.id for key in self._keys} and self._clock() - self._read > _REREAD:
            self._load()
        return {key.id: key.key.public_key() for key in self._keys}

    def published(self) -> list[tuple[dict[str, str], int]]:
        """The public halves as JSON Web Keys (RFC 7517), and when each was made."""
        return [(_jwk(key), key.made) for key in self._keys]

    def rotate(self) -> None:
        """Make a new key when the newest is old; forget those of which no token can be left."""
        now = self._clock()
        if not self._keys or now - self._keys[-1].made >= ROTATION:
            key = new_key()
            made = int(now)
            write_private(self._directory / f"{made}.pem", key_to_pem(key).encode())
            self._keys.append(SigningKey(key_identifier(key.public_key()), made, key))
        for old in list(self._keys[:-1]):
            if now - old.made > MAX_AGE:
                (self._directory / f"{old.made}.pem").unlink(missing_ok=True)
                self._keys.remove(old)

    def _load(self) -> None:
        self._read = self._clock()
        names = sorted(
            (path for path in self._directory.iterdir() if path.suffix == ".pem" and path.stem.isdecimal()),
            key=lambda path: int(path.stem),
        )
        self._keys = [_parsed(path) for path in names]


def key_identifier(key: ec.EllipticCurvePublicKey) -> str:
    """`kid`: the digest of the public key."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encode(hashlib.sha256(der).digest())


def _parsed(path: Path) -> SigningKey:
    data = read_private(path)
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        text = f"{path} is not a usable key: {error}; remove it, and the tokens that it signed end"
        raise SigningKeyError(text) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise SigningKeyError(f"{path} is not an ECDSA P-256 key; remove it")
    return SigningKey(key_identifier(key.public_key()), int(path.stem), key)


def parse_jwk(jwk: Mapping[str, str]) -> ec.EllipticCurvePublicKey:
    """The public key that `published` gave. Raises ValueError."""
    if (jwk.get("kty"), jwk.get("crv")) != ("EC", "P-256"):
        raise ValueError("it is no ECDSA P-256 key")
    x, y = (int.from_bytes(decode(jwk.get(name, "")), "big") for name in ("x", "y"))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def _jwk(key: SigningKey) -> dict[str, str]:
    numbers = key.key.public_key().public_numbers()
    return {
        "use": "sig",
        "kty": "EC",
        "kid": key.id,
        "crv": "P-256",
        "alg": ALGORITHM,
        "x": encode(numbers.x.to_bytes(32, "big")),
        "y": encode(numbers.y.to_bytes(32, "big")),
    }
