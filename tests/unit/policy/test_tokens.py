from __future__ import annotations

import pytest

from tsujiban.policy import tokens
from tsujiban.policy.program import JwtRule, StringMatch

ANY = StringMatch(present=True)


@pytest.mark.parametrize(
    ("match", "issuer", "subject"),
    [
        (StringMatch(exact="https://i/me"), StringMatch(exact="https://i"), StringMatch(exact="me")),
        (StringMatch(prefix="https://i/"), StringMatch(exact="https://i"), ANY),
        (StringMatch(prefix="https://i/m"), StringMatch(exact="https://i"), StringMatch(prefix="m")),
        (StringMatch(prefix="iss"), StringMatch(prefix="iss"), ANY),
        (StringMatch(suffix="/me"), ANY, StringMatch(exact="me")),
        (StringMatch(suffix=".example/me"), StringMatch(suffix=".example"), StringMatch(exact="me")),
        (StringMatch(suffix="me"), ANY, StringMatch(suffix="me")),
        (ANY, ANY, ANY),
    ],
)
def test_principals_in_parts(match: StringMatch, issuer: StringMatch, subject: StringMatch) -> None:
    assert tokens.principal_parts(match) == (issuer, subject)


def test_headers_of_tokens_are_where_they_are_looked_for_and_where_they_are_told_of() -> None:
    told = JwtRule(issuer="i", claims_to_headers=(("X-Sub", "sub"),), payload_header="X-All")
    assert tokens.headers([told]) == {"authorization", "x-sub", "x-all"}
    assert tokens.headers([JwtRule(issuer="i", from_headers=(("X-T", ""),))]) == {"x-t"}
    assert tokens.headers([]) == set()


RULES = (JwtRule(issuer="i", id="0", audiences=("one",)), JwtRule(issuer="j", id="1", required=True))


@pytest.mark.parametrize(
    ("claims", "refused"),
    [
        ({"iss": "j", "sub": 7}, "0"),
        ({"iss": "j"}, ""),
        ({"iss": "i", "aud": ["one"]}, "1"),  # the required one is missing
        ({"iss": "i", "aud": "two"}, "0"),
        ({"iss": "k"}, "0"),
        ({}, "0"),
        (None, "1"),
    ],
)
def test_refusals(claims: dict[str, object] | None, refused: str) -> None:
    assert tokens.refused(RULES, claims) == refused
    assert tokens.refused((), claims) == ""


def test_values_of_claims() -> None:
    claims = {"scope": "a b", "roles": "x y", "n": {"scope": "a b", "l": ["p", 1]}}
    assert list(tokens.values(claims, ("scope",))) == ["a", "b"]
    assert list(tokens.values(claims, ("roles",))) == ["x y"]
    lists = tokens.word_lists((JwtRule(issuer="", space_delimited=("roles",)),), {"iss": "i"})
    assert list(tokens.values(claims, ("roles",), lists)) == ["x", "y"]
    assert list(tokens.values(claims, ("n", "scope"))) == ["a b"]
    assert list(tokens.values(claims, ("n", "l"))) == ["p"]
    assert list(tokens.values(claims, ("none", "l"))) == []
