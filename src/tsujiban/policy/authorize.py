"""The authorization layer: Istio's AuthorizationPolicy, as compiled.

CUSTOM first, then DENY, then ALLOW; no ALLOW policy: allow; else one must match. Where a rule
cannot be decided (no identity, no HTTP), it counts in the closing direction: an ALLOW rule does
not match, a DENY rule does on what is left of it. Source: Istio's API reference,
AuthorizationPolicy; "HTTP-only fields on TCP".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import attrgetter

from msgspec import structs

from tsujiban.policy import tokens
from tsujiban.policy.addresses import contains
from tsujiban.policy.flow import Flow, Layer, Post, Request
from tsujiban.policy.program import (
    Action,
    AuthzAction,
    AuthzCondition,
    AuthzOperation,
    AuthzProgram,
    AuthzRule,
    AuthzSource,
    EndpointProgram,
    StringMatch,
)
from tsujiban.policy.world import World
from tsujiban.resources import httppath, pathtemplate, spiffe

LAYER = "authorization"
CLOSING = frozenset((AuthzAction.CUSTOM, AuthzAction.DENY))  # what cannot be decided counts as matching
_NO_OPERATION = AuthzOperation()
HOST_HEADERS = frozenset((":authority", "host"))
"""Names of the header that is a request's host, of which case is ignored."""
_REQUEST_LINE: dict[str, Callable[[Request], str]] = {
    ":method": attrgetter("method"),
    ":path": attrgetter("path"),
    **dict.fromkeys(HOST_HEADERS, attrgetter("host")),
}
"""Headers of HTTP/2, and so of Envoy, for what HTTP/1 says elsewhere."""


class Peer:
    """The authenticated source, taken apart once. All fields are "" for plaintext, and for an
    identity that does not parse."""

    __slots__ = ("account", "namespace", "principal", "trust_domain")

    def __init__(self, identity: str) -> None:
        self.principal = self.trust_domain = self.namespace = self.account = ""
        parsed = spiffe.parse(identity)
        if parsed is None:
            return
        self.principal = parsed.trust_domain + parsed.path
        self.trust_domain = parsed.trust_domain
        workload = spiffe.workload(identity)
        if workload is not None:
            self.namespace, self.account = workload.namespace, workload.service_account


@lru_cache(maxsize=1 << 14)
def _peer(identity: str) -> Peer:
    return Peer(identity)


class Subject:
    """What authorization rules look at: the flow, its authenticated source, its destination."""

    __slots__ = ("claims", "flow", "lists", "path", "peer", "principal")

    def __init__(self, endpoint: EndpointProgram, flow: Flow, peer: str) -> None:
        self.flow = flow
        self.peer = _peer(peer)
        self.path = None if flow.http is None else request_path(flow.http.path)
        self.claims: dict[str, object] | None = None
        self.lists: frozenset[str] = tokens.WORDS  # claims whose words are a list
        self.principal: tuple[str, str] | None = None  # issuer and subject of the token
        claims = None if flow.http is None else flow.http.claims
        if claims is not None and tokens.rules_for(endpoint.jwt, claims):
            self.claims = claims
            self.lists = tokens.word_lists(endpoint.jwt, claims)
            subject = claims.get("sub")
            if isinstance(subject, str):
                self.principal = tokens.issuer(claims), subject


@lru_cache(maxsize=1 << 12)
def request_path(path: str) -> str | None:
    """The normal form of a path, with the last slash that Envoy keeps; None when ambiguous."""
    normal = httppath.hardened(path)
    if normal is None or normal == "/":
        return normal
    return normal + "/" if httppath.forwarded(path.partition("?")[0]).endswith("/") else normal


def authorize(world: World, endpoint: EndpointProgram, flow: Flow, peer: str) -> Layer:
    """The verdict of the endpoint's AuthorizationPolicies on one flow."""

    def result(action: Action, rule: str, audits: tuple[str, ...] = ()) -> Layer:
        return Layer(
            layer=LAYER,
            endpoint=endpoint.id,
            verdict=action,
            rule=rule,
            post=Post.PROXY,
            logged=audits,
        )

    if not endpoint.authorization and not endpoint.jwt:
        return result(Action.ALLOW, "")
    refused = refused_token(endpoint, flow)
    if refused:
        return result(Action.DENY, refused)
    programs: list[AuthzProgram] = []
    for name in endpoint.authorization:
        program = world.authorizations.get(name)
        if program is None:  # a missing policy: fail closed
            return result(Action.DENY, endpoint.no_allow_id)
        if not program.dry_run:
            programs.append(program)
    if flow.http is not None and ambiguous(flow.http, programs, endpoint):
        return result(Action.DENY, endpoint.no_allow_id)  # no rule can be trusted
    subject = Subject(endpoint, flow, peer)
    audits = _audits(programs, subject)
    for action in (AuthzAction.CUSTOM, AuthzAction.DENY):
        matched = _first(programs, action, subject)
        if matched is not None:
            return result(Action.DENY, matched.id, audits)
    if not any(program.action is AuthzAction.ALLOW for program in programs):
        return result(Action.ALLOW, "", audits)
    matched = _first(programs, AuthzAction.ALLOW, subject)
    if matched is None:
        return result(Action.DENY, endpoint.no_allow_id, audits)
    return result(Action.ALLOW, matched.id, audits)


def _audits(programs: Iterable[AuthzProgram], subject: Subject) -> tuple[str, ...]:
    """The first rule of each AUDIT policy that matches. They decide nothing."""
    found: list[str] = []
    for program in programs:
        if program.action is AuthzAction.AUDIT:
            matched = _first((program,), AuthzAction.AUDIT, subject)
            found += [matched.id] if matched is not None else []
    return tuple(found)


def ambiguous(request: Request, programs: Sequence[AuthzProgram], endpoint: EndpointProgram) -> bool:
    """Whether a request can be read in two ways where rules look: its path, or a header that a rule
    names, or that a token is looked for in, and that is given more than once, or with other punctuation."""
    if any(one.revokes is None for one in programs) and request_path(request.path) is None:
        return True
    named = named_headers(programs, endpoint) if request.headers or request.repeated else frozenset()
    if not named:
        return False
    alike = {plain_header(one) for one in named}
    other = (one for one in request.headers if one not in named)
    return not request.repeated.isdisjoint(named) or any(plain_header(one) in alike for one in other)


def plain_header(name: str) -> str:
    """A header's name as applications see it that tell no punctuation apart: as a CGI variable (WSGI, PHP),
    `X_Role` is `X-Role`."""
    return re.sub(r"[^0-9a-z]", "-", name)


def named_headers(programs: Iterable[AuthzProgram], endpoint: EndpointProgram) -> frozenset[str]:
    """The headers that rules look at, in lower case."""
    keys = (condition.key for program in programs for rule in program.rules for condition in rule.conditions)
    return frozenset({header_name(key) for key in keys} - {""} | tokens.headers(endpoint.jwt))


def refused_token(endpoint: EndpointProgram, flow: Flow) -> str:
    """The id of the RequestAuthentication rule that refuses the flow for its token, or for having
    none; "" for none. What is not HTTP carries no token."""
    return tokens.refused(endpoint.jwt, None if flow.http is None else flow.http.claims)


def _first(programs: Iterable[AuthzProgram], action: AuthzAction, subject: Subject) -> AuthzRule | None:
    for program in programs:
        if program.action is action:
            for rule in program.rules:
                if rule_failure(rule, subject, action in CLOSING) is None:
                    return rule
    return None


def rule_failure(rule: AuthzRule, subject: Subject, closing: bool) -> str | None:
    """The first part of a rule that does not hold (`from`, `to`, `when[KEY]`); None: it matches.

    `closing` is true for rules that deny: what cannot be decided then counts as holding. A rule
    that opens and asks anything of a request matches no connection that is not HTTP, whichever of
    its alternatives asks: so Istio leaves the whole rule out.
    """
    if not closing and subject.flow.http is None:
        asked = asks_request(rule)
        if asked:
            return asked
    if rule.sources and not any(source_matches(source, subject, closing) for source in rule.sources):
        return "from"
    if rule.operations and not any(operation_matches(o, subject, closing) for o in rule.operations):
        return "to"
    for condition in rule.conditions:
        if not condition_matches(condition, subject, closing):
            return f"when[{condition.key}]"
    return None


def asks_request(rule: AuthzRule) -> str:
    """The first part of a rule that asks something of an HTTP request; "" for none does."""
    if any(source.request_principals or source.not_request_principals for source in rule.sources):
        return "from"
    if any(structs.replace(o, ports=(), not_ports=()) != _NO_OPERATION for o in rule.operations):
        return "to"
    asked = (c.key for c in rule.conditions if c.key.startswith("request."))
    return next((f"when[{key}]" for key in asked), "")


def source_matches(source: AuthzSource, subject: Subject, closing: bool) -> bool:
    """All clauses of a `source`. The remote address is the connection's: there is no proxy
    before the mesh whose word would be taken."""
    peer, address = subject.peer, subject.flow.source
    return (
        _identity(source.principals, source.not_principals, peer.principal, closing)
        and _identity(source.trust_domains, source.not_trust_domains, peer.trust_domain, closing)
        and _identity(source.namespaces, source.not_namespaces, peer.namespace, closing)
        and _request_principal(source.request_principals, source.not_request_principals, subject, closing)
        and _addresses(source.ip_blocks, source.not_ip_blocks, address)
        and _addresses(source.remote_ip_blocks, source.not_remote_ip_blocks, address)
    )


def operation_matches(operation: AuthzOperation, subject: Subject, closing: bool) -> bool:
    """All clauses of an `operation`."""
    port = subject.flow.port
    return (
        (not operation.ports or port in operation.ports)
        and port not in operation.not_ports
        and _http_clause(operation.hosts, operation.not_hosts, subject, closing, _host, fold=True)
        and _http_clause(operation.methods, operation.not_methods, subject, closing, _method)
        and _http_clause(operation.paths, operation.not_paths, subject, closing, _path)
    )


def condition_matches(condition: AuthzCondition, subject: Subject, closing: bool) -> bool:
    """One `when` condition. An unknown key cannot be decided."""
    key, flow, peer = condition.key, subject.flow, subject.peer
    if key in ("source.ip", "remote.ip"):
        return _addresses(condition.cidrs, condition.not_cidrs, flow.source)
    if key == "destination.ip":
        return _addresses(condition.cidrs, condition.not_cidrs, flow.destination)
    if key == "destination.port":
        return _plain(condition.values, condition.not_values, (str(flow.port),))
    if key == "connection.sni":
        return _plain(condition.values, condition.not_values, (flow.sni,) if flow.sni else ())
    identity = {
        "source.principal": peer.principal,
        "source.serviceAccount": peer.principal,
        "source.namespace": peer.namespace,
        "source.trustDomain": peer.trust_domain,
    }.get(key)
    if identity is not None:
        return _identity(condition.values, condition.not_values, identity, closing)
    if key == "request.auth.principal":
        return _request_principal(condition.values, condition.not_values, subject, closing)
    name = header_name(key)
    if name:
        return _header_clause(condition, name, subject, closing)
    read = _request_value(key)
    if read is None:
        return closing
    return _http_clause(condition.values, condition.not_values, subject, closing, read)


Read = Callable[[Subject], Sequence[str]]


def _request_principal(
    wanted: Sequence[StringMatch], unwanted: Sequence[StringMatch], subject: Subject, closing: bool
) -> bool:
    if not wanted and not unwanted:
        return True
    if subject.flow.http is None:
        return closing
    if wanted and not any(principal_matches(match, subject.principal) for match in wanted):
        return False
    return not any(principal_matches(match, subject.principal) for match in unwanted)


def principal_matches(match: StringMatch, principal: tuple[str, str] | None) -> bool:
    """Whether a token's issuer and subject satisfy a request principal."""
    if principal is None:
        return False
    parts = tokens.principal_parts(match)
    return all(string_matches(part, value) for part, value in zip(parts, principal, strict=True))


def _host(subject: Subject) -> Sequence[str]:
    """The host, with its port and without: a clause that names no port is about every port. And as servers
    read one that is written oddly: a user before it, dots behind it, a port that is none."""
    if subject.flow.http is None:
        return ()
    host = subject.flow.http.host
    bare = host.rpartition("@")[2]
    name, port = host_parts(bare)
    name = name.rstrip(".")
    return (host, bare, name, name + port)


def host_parts(host: str) -> tuple[str, str]:
    """Name or address of a host, and the rest, which should be a colon and a port."""
    if host.startswith("["):
        name, bracket, rest = host.partition("]")
        return (name + bracket, rest) if rest[:1] in {"", ":"} else (host, "")
    name, colon, port = host.partition(":")
    return name, colon + port


def _method(subject: Subject) -> Sequence[str]:
    return (subject.flow.http.method,) if subject.flow.http is not None else ()


def _path(subject: Subject) -> Sequence[str]:
    return (subject.path,) if subject.path is not None else ()


def _request_value(key: str) -> Read | None:
    """How to read a condition's key from the request; None for a key that is not known."""
    if key == "request.auth.audiences":
        return lambda subject: _claim(subject, ("aud",))
    if key == "request.auth.presenter":
        return lambda subject: _claim(subject, ("azp",))
    name, bracket, rest = key.partition("[")
    if not bracket or not rest.endswith("]"):
        return None
    parts = tuple(rest[:-1].split("]["))
    if name == "request.auth.claims":
        return lambda subject: _claim(subject, parts)
    return None


def header_name(key: str) -> str:
    """The header that a condition's key is about, in lower case; "" when it is about none."""
    name, bracket, rest = key.partition("[")
    if name != "request.headers" or not bracket or not rest.endswith("]") or "[" in rest:
        return ""
    return rest[:-1].lower()


def _header_clause(condition: AuthzCondition, name: str, subject: Subject, closing: bool) -> bool:
    """A condition on a header. One that is there and empty is present."""
    request = subject.flow.http
    if request is None:
        return closing
    of_the_request = _REQUEST_LINE.get(name)
    value = request.headers.get(name) if of_the_request is None else of_the_request(request)
    fold = name in HOST_HEADERS

    def holds(matches: Sequence[StringMatch]) -> bool:
        return value is not None and any(m.present or string_matches(m, value, fold) for m in matches)

    return (not condition.values or holds(condition.values)) and not holds(condition.not_values)


def _claim(subject: Subject, path: Sequence[str]) -> Sequence[str]:
    return tokens.values(subject.claims, path, subject.lists)


def _identity(
    wanted: Sequence[StringMatch], unwanted: Sequence[StringMatch], value: str, closing: bool
) -> bool:
    """A clause on the authenticated identity. Without one, no ALLOW rule that asks for any
    matches, and a DENY rule's `not` clause does."""
    if not wanted and not unwanted:
        return True
    if not value:
        return closing and not wanted
    return _plain(wanted, unwanted, (value,))


def _http_clause(
    wanted: Sequence[StringMatch],
    unwanted: Sequence[StringMatch],
    subject: Subject,
    closing: bool,
    read: Read,
    fold: bool = False,
) -> bool:
    """A clause on the request. On a connection that is not HTTP: holds only for denying."""
    if not wanted and not unwanted:
        return True
    if subject.flow.http is None:
        return closing
    return _plain(wanted, unwanted, read(subject), fold)


def _plain(
    wanted: Sequence[StringMatch], unwanted: Sequence[StringMatch], values: Sequence[str], fold: bool = False
) -> bool:
    if wanted and not any(string_matches(match, value, fold) for match in wanted for value in values):
        return False
    return not any(string_matches(match, value, fold) for match in unwanted for value in values)


def _addresses(wanted: Sequence[str], unwanted: Sequence[str], address: str) -> bool:
    if wanted and not any(contains(net, address) for net in wanted):
        return False
    return not any(contains(net, address) for net in unwanted)


def string_matches(match: StringMatch, value: str, fold: bool = False) -> bool:
    """Whether a value satisfies one of Istio's value forms; `fold` ignores case (host names)."""
    if match.present:
        return bool(value)
    if match.template is not None:
        return _template(match.template).fullmatch(value) is not None
    if fold:
        value = value.lower()
    for form, test in (
        (match.exact, value.__eq__),
        (match.prefix, value.startswith),
        (match.suffix, value.endswith),
    ):
        if form is not None:
            return bool(test(form.lower() if fold else form))
    return False


@lru_cache(maxsize=4096)
def _template(text: str) -> re.Pattern[str]:
    return pathtemplate.pattern(text)
