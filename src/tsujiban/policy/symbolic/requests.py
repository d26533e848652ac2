"""The requests that the policies of one destination can tell apart.

Every attribute that a clause looks at (method, path, host, a header, the token, the name asked
for in TLS) falls into finitely many classes; each class has a witness, a real request. Clauses
are asked with the definition's own tests on the witnesses, so there is no second meaning of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import product
from math import prod
from typing import NamedTuple

import msgspec

from tsujiban.policy import authorize
from tsujiban.policy.clauses import http_failure
from tsujiban.policy.flow import Flow, Request
from tsujiban.policy.program import (
    AuthzCondition,
    AuthzOperation,
    AuthzRule,
    AuthzSource,
    EndpointProgram,
    Http,
    JwtRule,
    StringMatch,
)
from tsujiban.policy.symbolic import words
from tsujiban.policy.symbolic.cover import Named
from tsujiban.policy.symbolic.tokens import Tokens
from tsujiban.policy.symbolic.words import TooManyDistinctions

MAX_CLASSES = 1 << 14
"""Most classes of requests at one destination."""

HEADER = "header "
"""What the names of attributes about headers start with."""

AMBIGUOUS = "/%2f"
"""A path that can be read in two ways: what looks at HTTP refuses it."""


class Clauses(NamedTuple):
    """All that the policies of a destination ask of requests."""

    https: tuple[Http, ...] = ()
    rules: tuple[AuthzRule, ...] = ()
    jwt: tuple[JwtRule, ...] = ()
    guarded: bool = False  # an AuthorizationPolicy is in force: ambiguous paths are refused


class Atom(NamedTuple):
    """One class: its witness. `http` is None for what is not HTTP."""

    sni: str
    http: Request | None


class Attribute(NamedTuple):
    """One thing that requests differ in: the classes, and the patterns in the user's words."""

    name: str  # method, path, host, header NAME, token, sni
    values: tuple[object, ...]  # a witness of each class
    patterns: tuple[Named, ...]
    find: Callable[[object], int]  # the class of a value


class Vocabulary:
    """The classes of requests at a destination. Class 0 up to the number of server names are
    connections that are not HTTP; then come the requests.

    `clauses` say what is told apart, `own` what is in force: less, where two worlds are compared.
    """

    def __init__(self, clauses: Clauses, own: Clauses) -> None:
        self._guarded = own.guarded
        seen = _Seen(clauses)
        self.sni = seen.sni()
        self.attributes = seen.attributes()
        self.aware = bool(clauses.https or clauses.guarded or clauses.jwt or seen.http)
        counts = [len(a.values) for a in self.attributes]
        total = len(self.sni.values) * (1 + (prod(counts) if self.aware else 0))
        if total > MAX_CLASSES:
            raise TooManyDistinctions(f"policies tell apart {total} kinds of requests at one destination")
        self.atoms: list[Atom] = [Atom(str(sni), None) for sni in self.sni.values]
        if self.aware:
            names = [a.name for a in self.attributes]
            witnesses = product(*(a.values for a in self.attributes))
            requests = [_request(dict(zip(names, values, strict=True))) for values in witnesses]
            self.atoms += [Atom(str(sni), request) for sni in self.sni.values for request in requests]
        self.all = (1 << len(self.atoms)) - 1
        self.plain = (1 << len(self.sni.values)) - 1  # the classes that are not HTTP
        self.http_classes = self.all & ~self.plain
        endpoint = EndpointProgram(id="", node="", jwt=own.jwt)
        self._subjects = [
            authorize.Subject(endpoint, Flow(source="@", destination="@", sni=a.sni, http=a.http), "")
            for a in self.atoms
        ]
        self._endpoint = endpoint
        self._known: dict[object, int] = {}

    def find(self, request: Request | None, sni: str) -> int:
        """The class of a request."""
        name = self.sni.find(sni)
        if request is None or not self.aware:
            return name
        at = name
        for attribute in self.attributes:
            at = at * len(attribute.values) + attribute.find(_value(request, attribute.name))
        return len(self.sni.values) + at

    # ------------------------------------------------------------------ clauses as bitmaps

    def http(self, http: Http) -> int:
        """The requests that a network policy's HTTP clause matches."""
        return self._bits(
            ("http", http),
            lambda s: s.flow.http is not None and http_failure(http, s.flow.http) is None,
        )

    def source(self, source: AuthzSource, closing: bool) -> int:
        """The requests whose token suits a `source`; its other clauses are the caller's."""
        bare = AuthzSource(
            request_principals=source.request_principals, not_request_principals=source.not_request_principals
        )
        if bare == AuthzSource():
            return self.all
        return self._bits(("source", bare, closing), lambda s: authorize.source_matches(bare, s, closing))

    def operation(self, operation: AuthzOperation, closing: bool) -> int:
        """The requests that suit an `operation`, whatever the port."""
        bare = msgspec.structs.replace(operation, ports=(), not_ports=())
        if bare == AuthzOperation():
            return self.all
        return self._bits(
            ("operation", bare, closing), lambda s: authorize.operation_matches(bare, s, closing)
        )

    def condition(self, condition: AuthzCondition, closing: bool) -> int:
        """The requests that suit a condition on the request."""
        return self._bits(
            ("condition", condition, closing), lambda s: authorize.condition_matches(condition, s, closing)
        )

    def refused(self) -> int:
        """The requests that are refused whatever the rules: a bad token, an ambiguous path."""
        return self._bits("refused", self._refused)

    def _refused(self, subject: authorize.Subject) -> bool:
        request = subject.flow.http
        if authorize.refused_token(self._endpoint, subject.flow):
            return True
        return self._guarded and request is not None and authorize.request_path(request.path) is None

    def _bits(self, key: object, test: Callable[[authorize.Subject], bool]) -> int:
        found = self._known.get(key)
        if found is None:
            found = sum(1 << at for at, subject in enumerate(self._subjects) if test(subject))
            self._known[key] = found
        return found


class _Seen:
    """Collects the patterns of all clauses, by attribute."""

    def __init__(self, clauses: Clauses) -> None:
        self.clauses = clauses
        self.methods: dict[StringMatch, None] = {}
        self.hosts: dict[StringMatch, None] = {}
        self.paths: dict[StringMatch, None] = {}
        self.names: dict[StringMatch, None] = {}
        self.headers: dict[str, dict[StringMatch, None]] = {}
        self.principals: dict[StringMatch, None] = {}
        self.claims: dict[tuple[str, ...], dict[StringMatch, None]] = {}
        for http in clauses.https:
            _note(self.methods, (StringMatch(exact=m) for m in http.methods if m != "*"))
        for rule in clauses.rules:
            for source in rule.sources:
                _note(self.principals, (*source.request_principals, *source.not_request_principals))
            for operation in rule.operations:
                _note(self.methods, (*operation.methods, *operation.not_methods))
                _note(self.hosts, (*operation.hosts, *operation.not_hosts))
                _note(self.paths, (*operation.paths, *operation.not_paths))
            for condition in rule.conditions:
                self._condition(condition)

    def _condition(self, condition: AuthzCondition) -> None:
        matches = (*condition.values, *condition.not_values)
        name, _, rest = condition.key.partition("[")
        match name:
            case "connection.sni":
                _note(self.names, matches)
            case "request.headers":
                _note(self._header(authorize.header_name(condition.key)), matches)
            case "request.auth.principal":
                _note(self.principals, matches)
            case "request.auth.audiences":
                _note(self.claims.setdefault(("aud",), {}), matches)
            case "request.auth.presenter":
                _note(self.claims.setdefault(("azp",), {}), matches)
            case "request.auth.claims":
                _note(self.claims.setdefault(tuple(rest[:-1].split("][")), {}), matches)

    def _header(self, name: str) -> dict[StringMatch, None]:
        """The patterns of what a header tells; of `:path`, a query is not told apart."""
        if name in authorize.HOST_HEADERS:
            return self.hosts
        own = {":method": self.methods, ":path": self.paths}.get(name)
        return self.headers.setdefault(name, {}) if own is None else own

    @property
    def http(self) -> bool:
        """Whether any clause asks for something of HTTP."""
        return bool(
            self.methods or self.hosts or self.paths or self.headers or self.principals or self.claims
        )

    def sni(self) -> Attribute:
        return _strings("sni", list(self.names))

    def attributes(self) -> list[Attribute]:
        found = [
            _strings("method", list(self.methods), universe=words.word, other="GET"),
            self._path(),
            _strings("host", list(self.hosts), fold=True),
        ]
        for name, matches in sorted(self.headers.items()):
            found.append(_strings(f"{HEADER}{name}", list(matches)))
        known = Tokens(self.clauses.jwt, list(self.principals), self.claims)
        found.append(Attribute("token", tuple(known.values), known.patterns(), known.find))
        return found

    def _path(self) -> Attribute:
        clauses = list(dict.fromkeys(path for http in self.clauses.https for path in http.paths))
        patterns = [words.of_match(m) for m in self.paths]
        patterns += [p for path in clauses for p in words.of_path(path)]
        known = words.Words(patterns, words.request_path)
        witnesses = known.witnesses()
        texts = (*map(_raw, witnesses.values()), AMBIGUOUS)
        named = [Named(words.words_of(m), mask(texts, partial(_is_path, m))) for m in self.paths]
        for path in clauses:
            prefix = (path.prefix or "/").rstrip("/") + "/**"
            test = partial(_is_below, Http(paths=(path,)))
            named.append(Named(prefix if path.exact is None else path.exact, mask(texts, test)))
        index = {key: at for at, key in enumerate(witnesses)}

        def find(raw: object) -> int:
            path = authorize.request_path(str(raw))
            return len(index) if path is None else index[known.combination(path)]

        return Attribute("path", texts, tuple(named), find)


def _strings(
    name: str,
    matches: Sequence[StringMatch],
    *,
    universe: words.Universe = words.anything,
    fold: bool = False,
    other: str = "",
) -> Attribute:
    """An attribute whose values are strings. What is absent is as what no pattern matches."""
    if not matches:
        return Attribute(name, (other,), (), lambda value: 0)
    known = words.Words([words.of_match(m, fold=fold) for m in matches], universe)
    witnesses = known.witnesses()
    witnesses.setdefault(0, "")
    values = tuple(text if key or text else None for key, text in witnesses.items())
    named = tuple(Named(words.words_of(m), mask(values, partial(_is_string, m, fold))) for m in matches)
    index = {key: at for at, key in enumerate(witnesses)}

    def find(value: object) -> int:
        if value is None:
            return index[0]
        return index[known.combination(str(value).lower() if fold else str(value))]

    return Attribute(name, values, named, find)


def mask(values: Iterable[object], test: Callable[[object], bool]) -> int:
    """The values that pass a test, as a bitmap."""
    return sum(1 << at for at, value in enumerate(values) if test(value))


def _is_string(match: StringMatch, fold: bool, value: object) -> bool:
    return value is not None and authorize.string_matches(match, str(value), fold)


def _is_path(match: StringMatch, raw: object) -> bool:
    path = authorize.request_path(str(raw))
    return path is not None and authorize.string_matches(match, path)


def _is_below(http: Http, raw: object) -> bool:
    return http_failure(http, Request(path=str(raw))) is None


def _raw(path: str) -> str:
    """A request's path whose normal form is `path`."""
    return path.replace("%", "%25").replace("?", "%3F").replace("#", "%23")


def _note(table: dict[StringMatch, None], matches: Iterable[StringMatch]) -> None:
    table.update(dict.fromkeys(matches))


def _value(request: Request, name: str) -> object:
    if name.startswith(HEADER):
        return request.headers.get(name.removeprefix(HEADER))
    return {"method": request.method, "path": request.path, "host": request.host, "token": request.claims}[
        name
    ]


def _request(values: dict[str, object]) -> Request:
    headers = {
        name.removeprefix(HEADER): str(value)
        for name, value in values.items()
        if name.startswith(HEADER) and value is not None
    }
    claims = values["token"]
    return Request(
        method=str(values["method"] or ""),
        path=str(values["path"]),
        host=str(values["host"] or ""),
        headers=headers,
        claims=claims if isinstance(claims, dict) else None,
    )
