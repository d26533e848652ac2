"""What a request's token says to RequestAuthentication and to the rules that ask about tokens.

Kept apart from `authorize` because tokens have rules of their own: which of several issuers' rules
a token falls under, claims that are lists of words, and principals, of which issuer and subject are
compared apart. Source: Istio's API reference, RequestAuthentication and "Authorization Policy
Conditions"; RFC 7519.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tsujiban.policy.program import JwtRule, StringMatch

Claims = Mapping[str, object]

WORDS = frozenset(("scope", "permission"))
"""Claims whose words are a list of values, whatever a RequestAuthentication says."""


def issuer(claims: Claims) -> str:
    """Who issued a token; "" where it does not say, which no rule takes."""
    found = claims.get("iss")
    return found if isinstance(found, str) else ""


def rules_for(rules: Sequence[JwtRule], claims: Claims) -> list[JwtRule]:
    """The rules that a token falls under, by its issuer."""
    own = issuer(claims)
    return [rule for rule in rules if own and rule.issuer in ("", own)]


def refused(rules: Sequence[JwtRule], claims: Claims | None) -> str:
    """The id of the rule that refuses a request with this token (None: without one); "" for none.

    A token of an issuer that no rule names, or for an audience that its rule does not name, or that is
    none by RFC 7519 (a subject that is no string); and a request without a token that a rule requires.
    """
    if claims is not None and rules and not isinstance(claims.get("sub", ""), str):
        return rules[0].id
    taken = [] if claims is None else [rule for rule in rules_for(rules, claims) if _suits(rule, claims)]
    if claims is not None and rules and not taken:
        mine = rules_for(rules, claims)
        return mine[0].id if mine else rules[0].id
    return next((rule.id for rule in rules if rule.required and rule not in taken), "")


def _suits(rule: JwtRule, claims: Claims) -> bool:
    return not rule.audiences or not set(rule.audiences).isdisjoint(strings(claims.get("aud")))


def headers(rules: Sequence[JwtRule]) -> set[str]:
    """The headers that tokens are looked for in, and those that tell of them, in lower case."""
    told = (name for rule in rules for name in (*dict(rule.claims_to_headers), rule.payload_header) if name)
    found = {name.lower() for rule in rules for name, _ in rule.from_headers} | {one.lower() for one in told}
    by_default = any(not (rule.from_headers or rule.from_params or rule.from_cookies) for rule in rules)
    return found | {"authorization"} if by_default else found


def word_lists(rules: Sequence[JwtRule], claims: Claims) -> frozenset[str]:
    """The claims of a token whose words are a list."""
    return WORDS.union(*(rule.space_delimited for rule in rules_for(rules, claims)))


def values(claims: Claims | None, path: Sequence[str], lists: frozenset[str] = WORDS) -> Sequence[str]:
    """The values of a claim, by its path: a string is one, or each of its words where the claim is
    in `lists`; a list is as many as it has strings."""
    found: object = claims
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    if isinstance(found, str) and len(path) == 1 and path[0] in lists:
        return found.split(" ")
    return strings(found)


def strings(value: object) -> Sequence[str]:
    """A string, or the strings of a list."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple):
        return tuple(item for item in value if isinstance(item, str))
    return ()


ANYTHING = StringMatch(present=True)


def principal_parts(match: StringMatch) -> tuple[StringMatch, StringMatch]:
    """What a request principal asks of the issuer, and what of the subject: the last slash of
    the pattern parts them. Without one, the wildcard stands for all of the other."""
    if match.exact is not None:
        who, _, subject = _cut(match.exact)
        return StringMatch(exact=who), StringMatch(exact=subject)
    if match.prefix is not None:
        who, slash, subject = _cut(match.prefix)
        if not slash:
            return StringMatch(prefix=who), ANYTHING
        return StringMatch(exact=who), StringMatch(prefix=subject) if subject else ANYTHING
    if match.suffix is not None:
        who, slash, subject = _cut(match.suffix)
        if not slash:
            return ANYTHING, StringMatch(suffix=who)
        return StringMatch(suffix=who) if who else ANYTHING, StringMatch(exact=subject)
    return ANYTHING, ANYTHING


def _cut(text: str) -> tuple[str, str, str]:
    before, slash, after = text.rpartition("/")
    return (before, slash, after) if slash else (after, "", "")
