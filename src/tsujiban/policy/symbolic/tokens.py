"""The tokens that a destination's policies can tell apart: none, a foreign one, and by claims.

Claims may be lists, of which any value may match, so what counts of a claim is the union of what
its values satisfy. A subject is a string (RFC 7519, section 4.1.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from tsujiban.policy import authorize
from tsujiban.policy import tokens as meaning
from tsujiban.policy.program import JwtRule, StringMatch
from tsujiban.policy.symbolic import words
from tsujiban.policy.symbolic.cover import Named
from tsujiban.policy.symbolic.words import TooManyDistinctions

MAX_TOKENS = 1 << 12
"""Most classes of tokens at one destination."""

FOREIGN = "https://foreign.invalid/"
ISSUER, SUBJECT, AUDIENCE = ("iss",), ("sub",), ("aud",)
Path = tuple[str, ...]
Claims = dict[str, object]


class Tokens:
    """Classes of verified tokens. Class 0 is no token; class 1 one that no rule takes."""

    def __init__(
        self,
        rules: Sequence[JwtRule],
        principals: Sequence[StringMatch],
        claims: Mapping[Path, Iterable[StringMatch]],
    ) -> None:
        self._rules = rules
        self._principals = principals
        self._parts = [meaning.principal_parts(match) for match in principals]
        named = list(dict.fromkeys(rule.issuer for rule in rules))
        self._any: words.Words | None = None  # tells issuers apart where any is taken
        self._issuers = named if "" not in named else self._told_apart(named, claims.get(ISSUER, ()))
        self._paths = {path: list(matches) for path, matches in claims.items() if path != ISSUER}
        audiences = [StringMatch(exact=a) for rule in rules for a in rule.audiences]
        if audiences:
            self._paths[AUDIENCE] = [*dict.fromkeys((*self._paths.get(AUDIENCE, ()), *audiences))]
        if principals:
            self._paths.setdefault(SUBJECT, [])
        self._order = sorted(self._paths)
        self._words: dict[tuple[str, Path], words.Words] = {}
        self.values: list[Claims | None] = [None]
        self._index: dict[tuple[object, ...], int] = {}
        if rules:
            self.values.append({"iss": "" if self._any else _foreign(self._issuers)})
            for issuer in self._issuers:
                self._add(issuer)

    def find(self, value: object) -> int:
        """The class of a token's claims."""
        if not isinstance(value, dict) or not self._issuers:
            return 0
        lists = meaning.word_lists(self._rules, value)
        issuer = meaning.issuer(value)
        if issuer and self._any is not None:
            issuer = self._alike[self._any.combination(issuer)]
        if issuer not in self._issuers:
            return 1
        keys = []
        for path in self._order:
            known, key = self._words[issuer, path], 0
            for text in meaning.values(value, path, lists):
                key |= known.combination(text)
            keys.append(key)
        return self._index[issuer, *keys]

    def patterns(self) -> tuple[Named, ...]:
        """What users' clauses say of tokens, in words."""
        if not self._issuers:
            return ()
        subjects: list[tuple[str, str] | None] = []
        for claims in self.values:
            subject = None if claims is None else claims.get("sub")
            known = claims is not None and claims["iss"] in self._issuers and isinstance(subject, str)
            subjects.append((str(claims["iss"]), str(subject)) if claims is not None and known else None)
        named = [Named("token", ((1 << len(self.values)) - 1) & ~3)]
        for match in self._principals:
            bits = sum(1 << at for at, who in enumerate(subjects) if authorize.principal_matches(match, who))
            named.append(Named(f"principal {words.words_of(match)}", bits))
        for path in self._order:
            for match in self._paths[path]:
                bits = sum(
                    1 << at
                    for at, claims in enumerate(self.values)
                    if at > 1
                    and any(authorize.string_matches(match, v) for v in meaning.values(claims, path))
                )
                named.append(Named(f"claim {'.'.join(path)}={words.words_of(match)}", bits))
        return tuple(named)

    def _told_apart(self, named: list[str], matches: Iterable[StringMatch]) -> list[str]:
        """One issuer of each class, where a rule takes any."""
        patterns = [StringMatch(exact=issuer) for issuer in named if issuer]
        patterns += [*(who for who, _ in self._parts), *matches]
        self._any = words.Words([words.of_match(match) for match in patterns], words.something)
        self._alike = self._any.witnesses()
        return list(self._alike.values())

    def _add(self, issuer: str) -> None:
        choices = [self._choices(issuer, path) for path in self._order]
        for chosen in product(*(choice.items() for choice in choices)):
            claims: Claims = {"iss": issuer}
            lists = meaning.word_lists(self._rules, claims)
            if all(
                _put(claims, path, texts, lists) for path, (_, texts) in zip(self._order, chosen, strict=True)
            ):
                if len(self.values) >= MAX_TOKENS:
                    raise TooManyDistinctions("policies tell apart too many kinds of tokens")
                self._index[issuer, *(key for key, _ in chosen)] = len(self.values)
                self.values.append(claims)

    def _choices(self, issuer: str, path: Path) -> dict[int, list[str]]:
        """Combinations of patterns that a claim can satisfy, each with values that do."""
        matches = self._paths[path]
        patterns = [words.of_match(m) for m in matches]
        if path == SUBJECT:
            patterns += [
                words.of_match(own) for who, own in self._parts if authorize.string_matches(who, issuer)
            ]
        known = self._words[issuer, path] = words.Words(patterns)
        single = known.witnesses()
        found: dict[int, list[str]] = {0: []}
        for key, text in single.items():
            if path == SUBJECT:
                found.setdefault(key, [text])
                continue
            for other, texts in list(found.items()):
                found.setdefault(key | other, [*texts, text])
            if len(found) > MAX_TOKENS:
                raise TooManyDistinctions(f"policies tell apart too many values of claim {'.'.join(path)}")
        return found


def _foreign(issuers: Sequence[str]) -> str:
    found = FOREIGN
    while found in issuers:
        found += "x"
    return found


def _put(claims: Claims, path: Path, texts: list[str], lists: frozenset[str]) -> bool:
    """Set a claim; False where it would have to be a value and hold others at once."""
    if not texts:
        return True
    inner = claims
    for part in path[:-1]:
        below = inner.setdefault(part, {})
        if not isinstance(below, dict):
            return False
        inner = below
    if path[-1] in inner:
        return False
    inner[path[-1]] = texts[0] if len(texts) == 1 and path[0] not in lists else texts
    return True
