from __future__ import annotations

import json

import pytest
from tests.support.jwts import Issuer

from tsujiban.proxy.keys import usable

POINT = {  # RFC 7517, appendix A.1
    "kty": "EC",
    "crv": "P-256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
}
EDWARDS = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}  # RFC 8037


def keys(*listed: object) -> str:
    return json.dumps({"keys": listed})


@pytest.mark.parametrize("key", [POINT, EDWARDS, {**POINT, "alg": "ES256"}])
def test_one_good_key_is_enough(key: object) -> None:
    assert usable(keys({"kty": "oct"}, 7, key))


def test_rsa() -> None:
    assert usable(Issuer("i").jwks)
    (key,) = json.loads(Issuer("i").jwks)["keys"]
    for wrong in ({"alg": "ES256"}, {"n": "AQAB"}, {"e": "AQ"}, {"n": "***"}):
        assert not usable(keys({**key, **wrong}))


@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "[]", "{}", '{"keys":7}', '{"keys":[]}', "not json"),
        keys({**POINT, "y": POINT["x"]}),
        keys({**POINT, "crv": "P-1"}),
        keys({**POINT, "alg": "RS256"}),
        keys({**EDWARDS, "x": "AAAA"}),
        keys({"kty": "oct", "k": "AAAA"}),
        keys({"kty": 7}),
    ],
)
def test_what_verifies_nothing_is_not_handed_on(text: str) -> None:
    assert not usable(text)
