from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tsujiban.identity import jwt
from tsujiban.identity.keys import new_key

KEY, OTHER = new_key(), new_key()
KEYS = {"a": KEY.public_key(), "b": OTHER.public_key()}
CLAIMS = {"sub": "web", "exp": 1}


def part(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: Any, claims: Any = CLAIMS) -> str:
    """A token with any header, rightly signed by KEY."""
    text = f"{part(header)}.{part(claims)}"
    r, s = decode_dss_signature(KEY.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{text}.{part(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def test_what_we_sign_we_know() -> None:
    token = jwt.sign(KEY, "a", CLAIMS)
    assert jwt.verify(token, KEYS) == CLAIMS
    assert jwt.key_id(token) == "a"
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert header == {"alg": "ES256", "kid": "a", "typ": "JWT"}


HEADER = {"alg": "ES256", "kid": "a"}


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "x",
        "a.b.c",
        "a.b.c.d",
        "ä.b.c",
        f"{part({'alg': 'none', 'kid': 'a'})}.{part(CLAIMS)}.",
        f"{part({'alg': 'none', 'kid': 'a'})}.{part(CLAIMS)}.AA",
        f"{part({'alg': 'None', 'kid': 'a'})}.{part(CLAIMS)}.AA",
        signed({"alg": "ES384", "kid": "a"}),
        signed({"alg": "ES256"}),
        signed({"alg": "ES256", "kid": "b"}),  # the key of another
        signed({"alg": "ES256", "kid": "c"}),
        signed({"alg": "ES256", "kid": ["a"]}),
        signed({**HEADER, "crit": ["exp"]}),
        signed({**HEADER, "typ": "JWE"}),
        signed([HEADER]),
        signed(HEADER, [CLAIMS]),
        signed(HEADER, b"\xff"),
        signed(HEADER) + "=",
        signed(HEADER) + "\n",
        " " + signed(HEADER),
        signed(HEADER)[:-2],
        signed(HEADER, {"x": "y" * 9000}),
        f"{part(HEADER)}.{part(CLAIMS)}.{part(bytes(64))}",
    ],
    ids=lambda token: token[:20],
)
def test_what_is_refused(token: str) -> None:
    with pytest.raises(jwt.JwtRefused):
        jwt.verify(token, KEYS)


def test_a_public_key_is_no_secret_of_hmac() -> None:
    """The classic confusion: HS256, keyed with what everybody can read."""
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    text = f"{part({'alg': 'HS256', 'kid': 'a'})}.{part(CLAIMS)}"
    forged = f"{text}.{part(hmac.new(public, text.encode(), hashlib.sha256).digest())}"
    with pytest.raises(jwt.JwtRefused, match="HS256"):
        jwt.verify(forged, KEYS)


def test_a_key_that_the_token_brings_along_is_not_used() -> None:
    header = {"alg": "ES256", "kid": "mine", "jwk": {"kty": "EC"}, "jku": "https://evil/"}
    with pytest.raises(jwt.JwtRefused, match="no key"):
        jwt.verify(signed(header), KEYS)


def test_no_changed_token_passes() -> None:
    token = jwt.sign(KEY, "a", CLAIMS)
    rng = random.Random(7)
    for _ in range(300):
        place = rng.randrange(len(token))
        letter = rng.choice("ABCxyz019-_.=%")
        if letter != token[place]:
            with pytest.raises(jwt.JwtRefused):
                jwt.verify(token[:place] + letter + token[place + 1 :], KEYS)


def test_refusals_hold_no_part_of_the_token() -> None:
    token = jwt.sign(OTHER, "a", {"secret": "sesame"})
    with pytest.raises(jwt.JwtRefused) as error:
        jwt.verify(token, KEYS)
    assert token.split(".")[2][:8] not in str(error.value)
    assert jwt.key_id("x.y.z") == ""
    assert jwt.key_id("é") == ""
