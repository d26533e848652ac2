"""AuthorizationPolicy at one port from one source, as a decision.

CUSTOM, then DENY, then ALLOW; AUDIT decides nothing and leaves its rule's name. Principals, namespaces,
addresses and ports are settled here; methods, paths, hosts, headers and claims are left to the
request. What cannot be decided counts in the closing direction.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from msgspec import structs

from tsujiban.policy.authorize import host_parts
from tsujiban.policy.program import (
    AuthzAction,
    AuthzCondition,
    AuthzOperation,
    AuthzProgram,
    AuthzRule,
    AuthzSource,
    EndpointProgram,
    ExternalAuthorizer,
    NodeState,
    StringMatch,
)
from tsujiban.proxy import paths, tokens
from tsujiban.proxy.decisions import (
    Decision,
    Leaf,
    Settled,
    Text,
    Unreadable,
    all_of,
    any_of,
    at_leaves,
    branch,
    negate,
)
from tsujiban.proxy.netpolicy import Flow
from tsujiban.proxy.signature import Signature
from tsujiban.resources import spiffe
from tsujiban.resources.names import SPIFFE_SCHEME


def fixed(values: tuple[StringMatch, ...], value: str) -> bool:
    """Whether a value that is known now matches any. An absent value ("") matches none."""
    return value != "" and any(_fixed(one, value) for one in values)


def _fixed(one: StringMatch, value: str) -> bool:
    if one.present:
        return True
    if one.exact is not None:
        return value == one.exact
    if one.prefix is not None:
        return value.startswith(one.prefix)
    if one.suffix is not None:
        return value.endswith(one.suffix)
    return re.fullmatch(paths.template(one.template or ""), value) is not None


def _header(name: str, values: tuple[StringMatch, ...], *, ignore_case: bool = False) -> Settled:
    return any_of([_text(name, one, ignore_case) for one in values])


def _text(name: str, one: StringMatch, ignore_case: bool) -> Settled:
    if one.present:
        return Text(header=name, regex=".*")
    if one.template is not None:
        return Text(header=name, regex=paths.template(one.template))
    return Text(header=name, exact=one.exact, prefix=one.prefix, suffix=one.suffix, ignore_case=ignore_case)


def _paths(values: tuple[StringMatch, ...]) -> Settled:
    return any_of([paths.value(one) for one in values])


def _hosts(values: tuple[StringMatch, ...]) -> Settled:
    terms: list[Settled] = []
    for one in values:
        terms.append(_text(":authority", one, ignore_case=True))
        terms += (Text(header=":authority", regex="(?i)" + regex) for regex in _spellings(one))
    return any_of(terms)


def _spellings(one: StringMatch) -> Iterator[str]:
    """Other spellings of the hosts that a clause means (`policy.authorize` says which)."""
    text = one.exact or one.prefix or one.suffix or ""
    name, port = host_parts(text)
    dotted = name.endswith(".")  # then only this spelling of the name is meant
    literal = re.escape(name) + ("" if dotted else r"\.*") + re.escape(port)
    end = "" if port or dotted else "(:[^@]*)?"
    if one.exact:
        yield f"(.*@)?({re.escape(text)}|{literal}{end})"
    elif one.prefix:
        yield f"(.*@)?({re.escape(text)}|{literal if port else re.escape(text)})[^@]*"
    elif one.suffix:
        yield rf"(.*@)?(\[[^\]@]*|[^:@]*){literal}{end}"


_Matcher = Callable[[tuple[StringMatch, ...]], Settled]


def _pair(
    positive: tuple[StringMatch, ...],
    negative: tuple[StringMatch, ...],
    matcher: _Matcher,
) -> list[Settled]:
    terms: list[Settled] = []
    if positive:
        terms.append(matcher(positive))
    if negative:
        terms.append(negate(matcher(negative)))
    return terms


class _Peer:
    """A proven identity, taken apart; all "" for none."""

    def __init__(self, identity: str) -> None:
        parsed = spiffe.parse(identity)
        workload = spiffe.workload(identity)
        self.principal = parsed.trust_domain + parsed.path if parsed is not None else ""
        self.trust_domain = parsed.trust_domain if parsed is not None else ""
        self.namespace = workload.namespace if workload is not None else ""


_UNPROVEN = frozenset({-1})
# what a condition's key asks of an identity
_IDENTITY_KEYS = {
    "source.principal": "principal",
    "source.serviceAccount": "principal",
    "source.trustDomain": "trust_domain",
    "source.namespace": "namespace",
}


class _Questions:
    """All that policies ask about an identity, so that those with equal answers are judged once."""

    def __init__(self, programs: list[AuthzProgram]) -> None:
        asked: dict[tuple[str, StringMatch], None] = {}
        for program in programs:
            for rule in program.rules:
                for part, values in _asked(rule):
                    asked.update(dict.fromkeys((part, one) for one in values))
        self._exact: dict[tuple[str, str], int] = {}
        self._others: list[tuple[int, str, StringMatch]] = []
        for number, (part, one) in enumerate(asked):
            if one.exact is not None:
                self._exact[part, one.exact] = number
            else:
                self._others.append((number, part, one))

    def namespaces(self, trust_domain: str) -> Iterator[str]:
        """Those that questions ask for by name, or by the principals in them."""
        begin = f"{trust_domain}/ns/"
        for part, text in self._exact:
            if part == "namespace":
                yield text
        for _, part, one in self._others:
            if part == "principal" and one.prefix and one.prefix.startswith(begin):
                namespace, slash, _ = one.prefix.removeprefix(begin).partition("/")
                if slash:
                    yield namespace

    def answers(self, peer: _Peer) -> frozenset[int]:
        """The questions to which the answer is yes, and below zero which parts the identity has."""
        parts = {
            "principal": peer.principal,
            "trust_domain": peer.trust_domain,
            "namespace": peer.namespace,
        }
        found = {-2 - index for index, value in enumerate(parts.values()) if value}
        for part in parts.items():
            if part in self._exact:
                found.add(self._exact[part])
        found.update(number for number, part, one in self._others if fixed((one,), parts[part]))
        return frozenset(found)


def _asked(rule: AuthzRule) -> Iterator[tuple[str, tuple[StringMatch, ...]]]:
    for source in rule.sources:
        yield "principal", (*source.principals, *source.not_principals)
        yield "trust_domain", (*source.trust_domains, *source.not_trust_domains)
        yield "namespace", (*source.namespaces, *source.not_namespaces)
    for condition in rule.conditions:
        part = _IDENTITY_KEYS.get(condition.key)
        if part is not None:
            yield part, (*condition.values, *condition.not_values)


def external_authorizer(programs: Iterable[AuthzProgram]) -> ExternalAuthorizer | None:
    """Who is asked for the CUSTOM policies among these. None: there are none, or they name several, or
    one that is not known; then what they match is denied."""
    found = {one.external for one in programs if one.action is AuthzAction.CUSTOM}
    return found.pop() if len(found) == 1 else None


class Authorization:
    """The AuthorizationPolicies of one endpoint."""

    def __init__(self, state: NodeState, endpoint: EndpointProgram, *, staged: bool = False) -> None:
        self._refused = Leaf(allow=False, rules=(endpoint.no_allow_id,))
        self._jwt = endpoint.jwt
        found = [state.authorizations.get(name) for name in endpoint.authorization]
        self._missing = None in found
        known = [one for one in found if one is not None]
        self.programs: list[AuthzProgram] = [one for one in known if staged or not one.dry_run]
        # Serial numbers of certificates that are not taken.
        self.revoked = frozenset(serial for one in self.programs for serial in one.revokes or ())
        self.crl = "".join(one.crl for one in self.programs)
        self.revoked_identities = frozenset(_listed(self.programs))
        self._external = external_authorizer(self.programs) is not None
        rules = (rule for program in self.programs for rule in program.rules)
        named = (_header_name(condition.key) for rule in rules for condition in rule.conditions)
        # Every header that a rule asks for, in lower case, and those that hold tokens.
        self.headers = frozenset({*filter(None, named), *tokens.headers(self._jwt)})
        self._questions = _Questions(self.programs)
        self._alike: dict[frozenset[int], str] = {}  # the first identity of which each set of answers is true
        self._known: dict[str, str] = {}

    @property
    def blind(self) -> bool:
        """Whether no policy can tell any two identities apart."""
        return not self.programs

    def alike(self, identity: str) -> str:
        """An identity that no policy can tell from this one; "" for none."""
        if self.blind:
            return ""
        if identity not in self._known:
            answers = self._questions.answers(_Peer(identity)) if identity else _UNPROVEN
            self._known[identity] = self._alike.setdefault(answers, identity)
        return self._known[identity]

    def namespaces(self, trust_domain: str) -> set[str]:
        """The namespaces of which rules ask."""
        return set(self._questions.namespaces(trust_domain))

    def nets(self) -> Iterator[str]:
        """Every network that a rule asks for."""
        for program in self.programs:
            for rule in program.rules:
                for source in rule.sources:
                    yield from source.ip_blocks
                    yield from source.not_ip_blocks
                    yield from source.remote_ip_blocks
                    yield from source.not_remote_ip_blocks
                for condition in rule.conditions:
                    yield from condition.cidrs
                    yield from condition.not_cidrs

    def ports(self) -> Iterator[int]:
        """Every destination port that a rule asks for."""
        for program in self.programs:
            for rule in program.rules:
                for operation in rule.operations:
                    yield from operation.ports
                    yield from operation.not_ports
                for condition in rule.conditions:
                    if condition.key == "destination.port":
                        for one in (*condition.values, *condition.not_values):
                            if one.exact is not None and one.exact.isdigit():
                                yield int(one.exact)

    def decide(self, flow: Flow, allowed: tuple[str, ...]) -> Decision:
        """What the policies make of a connection that network policy allows by rules `allowed`."""
        decision = self._refused if self._missing else self._audited(self._policies(flow, allowed), flow)
        if any(one.revokes is None for one in self.programs) and not self._missing:
            decision = branch(paths.AMBIGUOUS, self._refused, decision, hardening=True)
        if self.headers:
            decision = branch(Unreadable(), self._refused, decision, hardening=True)
        if self._jwt:
            refused = Leaf(allow=False, rules=(self._jwt[0].id,))
            decision = branch(tokens.unverified(self._jwt), refused, decision)
        for rule in reversed(self._jwt):
            if rule.required:
                decision = branch(tokens.taken(rule), decision, Leaf(allow=False, rules=(rule.id,)))
        return decision

    def _policies(self, flow: Flow, allowed: tuple[str, ...]) -> Decision:
        grants = [one for one in self.programs if one.action is AuthzAction.ALLOW]
        current: Decision = self._refused if grants else Leaf(allow=True, rules=allowed)
        for program in reversed(grants):
            for rule in reversed(program.rules):
                leaf = Leaf(allow=True, rules=(*allowed, rule.id))
                current = branch(self._rule(rule, flow, closing=False), leaf, current)
        for action in (AuthzAction.DENY, AuthzAction.CUSTOM):
            for program in reversed([one for one in self.programs if one.action is action]):
                for rule in reversed(program.rules):
                    refused: Decision = Leaf(allow=False, rules=(rule.id,))
                    if action is AuthzAction.CUSTOM and self._external:
                        refused = branch(paths.HTTP, current, refused)  # who is asked has said yes
                    current = branch(self._rule(rule, flow, closing=True), refused, current)
        return current

    def _audited(self, decision: Decision, flow: Flow) -> Decision:
        for program in [one for one in self.programs if one.action is AuthzAction.AUDIT]:
            tests = [(rule.id, self._rule(rule, flow, closing=False)) for rule in program.rules]
            decision = at_leaves(decision, partial(_noting, tests))
        return decision

    def _rule(self, rule: AuthzRule, flow: Flow, *, closing: bool) -> Settled:
        peer = _Peer(flow.source.identity)
        terms: list[Settled] = []
        if rule.sources:
            terms.append(any_of([self._source(one, flow, peer, closing) for one in rule.sources]))
        if rule.operations:
            terms.append(any_of([_operation(one, flow) for one in rule.operations]))
        terms += [self._condition(one, flow, peer, closing) for one in rule.conditions]
        if not closing and _mixed(rule):
            terms.append(paths.HTTP)
        return all_of(terms)

    def _principal(self, values: tuple[StringMatch, ...]) -> Settled:
        return tokens.principal(values) if self._jwt else paths.NOTHING

    def _source(self, source: AuthzSource, flow: Flow, peer: _Peer, closing: bool) -> Settled:
        end = flow.source
        return all_of(
            [
                _identity(source.principals, source.not_principals, peer.principal, closing),
                _identity(source.trust_domains, source.not_trust_domains, peer.trust_domain, closing),
                _identity(source.namespaces, source.not_namespaces, peer.namespace, closing),
                *_pair(source.request_principals, source.not_request_principals, self._principal),
                _addresses(source.ip_blocks, source.not_ip_blocks, end),
                _addresses(source.remote_ip_blocks, source.not_remote_ip_blocks, end),
            ]
        )

    def _condition(self, condition: AuthzCondition, flow: Flow, peer: _Peer, closing: bool) -> Settled:
        key, wanted, unwanted = condition.key, condition.values, condition.not_values
        if key in {"source.ip", "remote.ip"}:
            return _addresses(condition.cidrs, condition.not_cidrs, flow.source)
        if key == "destination.ip":
            return _addresses(condition.cidrs, condition.not_cidrs, flow.destination)
        if key == "destination.port":
            port = str(flow.port)
            return (not wanted or fixed(wanted, port)) and not fixed(unwanted, port)
        if key == "connection.sni":
            return not wanted  # the application's own TLS is not looked into
        if key in _IDENTITY_KEYS:
            return _identity(wanted, unwanted, getattr(peer, _IDENTITY_KEYS[key]), closing)
        matcher = self._request_value(key)
        return closing if matcher is None else all_of(_pair(wanted, unwanted, matcher))

    def _request_value(self, key: str) -> _Matcher | None:
        """How to match a condition's key on the request; None for a key that is not known."""
        if key == "request.auth.principal":
            return self._principal
        known = {"request.auth.audiences": ("aud",), "request.auth.presenter": ("azp",)}
        claim: tuple[str, ...] = known.get(key, ())
        name, bracket, rest = key.partition("[")
        parts = tuple(rest[:-1].split("][")) if bracket and rest.endswith("]") else ()
        if name == "request.headers" and len(parts) == 1:
            header = parts[0].lower()
            is_host = header in {":authority", "host"}
            return partial(_header, ":authority" if is_host else header, ignore_case=is_host)
        if name == "request.auth.claims" and parts:
            claim = parts
        if not claim:
            return None
        return partial(self._claim, claim)

    def _claim(self, path: tuple[str, ...], values: tuple[StringMatch, ...]) -> Settled:
        return tokens.claim(path, values, self._jwt) if self._jwt else paths.NOTHING


def _noting(tests: list[tuple[str, Settled]], leaf: Leaf) -> Decision:
    """The same verdict, with the id of the first rule whose test holds."""
    current: Decision = leaf
    for name, test in reversed(tests):
        current = branch(test, structs.replace(leaf, audits=(*leaf.audits, name)), current)
    return current


def _identity(
    wanted: tuple[StringMatch, ...], unwanted: tuple[StringMatch, ...], value: str, closing: bool
) -> bool:
    if not wanted and not unwanted:
        return True
    if not value:
        return closing and not wanted
    return (not wanted or fixed(wanted, value)) and not fixed(unwanted, value)


def _listed(programs: Iterable[AuthzProgram]) -> Iterator[str]:
    """The identities on the mesh's list of those that are revoked."""
    for program in programs:
        if program.revokes is not None:
            sources = (source for rule in program.rules for source in rule.sources)
            yield from (
                SPIFFE_SCHEME + one.exact for source in sources for one in source.principals if one.exact
            )


def _header_name(key: str) -> str:
    """The header that a condition's key is about, in lower case; "" for none."""
    name, bracket, rest = key.partition("[")
    return rest[:-1].lower() if name == "request.headers" and bracket and rest.endswith("]") else ""


def _mixed(rule: AuthzRule) -> bool:
    """Whether some alternatives of a rule ask about the request and others do not: where there is
    no request, a rule that opens is left out whole, as in Istio."""
    sources = [bool(one.request_principals or one.not_request_principals) for one in rule.sources]
    operations = [
        bool(one.hosts or one.not_hosts or one.methods or one.not_methods or one.paths or one.not_paths)
        for one in rule.operations
    ]
    return any(any(asked) and not all(asked) for asked in (sources, operations))


def _addresses(wanted: tuple[str, ...], unwanted: tuple[str, ...], end: Signature) -> bool:
    if wanted and not any(net in end.nets for net in wanted):
        return False
    return not any(net in end.nets for net in unwanted)


def _operation(operation: AuthzOperation, flow: Flow) -> Settled:
    terms: list[Settled] = [flow.port not in operation.not_ports]
    if operation.ports:
        terms.append(flow.port in operation.ports)
    terms += _pair(operation.hosts, operation.not_hosts, _hosts)
    terms += _pair(operation.methods, operation.not_methods, partial(_header, ":method"))
    terms += _pair(operation.paths, operation.not_paths, _paths)
    return all_of(terms)
