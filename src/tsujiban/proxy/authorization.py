"""AuthorizationPolicy at one port from one source, as a decision.

CUSTOM, then DENY, then ALLOW; principals, namespaces, addresses and ports are settled here,
methods, paths, hosts and headers are left to the request. What this proxy cannot see (a token's
claims, an external authorizer) is settled against the flow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tsujiban.policy.program import (
    AuthzAction,
    AuthzCondition,
    AuthzOperation,
    AuthzProgram,
    AuthzRule,
    AuthzSource,
    EndpointProgram,
    NodeState,
    StringMatch,
)
from tsujiban.proxy.decisions import Decision, Leaf, Settled, Text, all_of, any_of, branch, negate
from tsujiban.proxy.netpolicy import Flow

_SCHEME = "spiffe://"
_PATH_END = r"(\?.*)?"


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
    return re.fullmatch(template_regex(one.template or ""), value) is not None


def template_regex(template: str) -> str:
    """A path template as an RE2 expression: `{*}` is one segment, `{**}` any number."""
    out = ""
    for part in re.split(r"(\{\*\*?\})", template):
        out += {"{*}": "[^/?]+", "{**}": "[^?]*"}.get(part, re.escape(part))
    return out


def _header(name: str, values: tuple[StringMatch, ...], *, ignore_case: bool = False) -> Settled:
    return any_of([_text(name, one, ignore_case) for one in values])


def _text(name: str, one: StringMatch, ignore_case: bool) -> Settled:
    if one.present:
        return Text(header=name, regex=".+")
    if one.template is not None:
        return Text(header=name, regex=template_regex(one.template))
    return Text(header=name, exact=one.exact, prefix=one.prefix, suffix=one.suffix, ignore_case=ignore_case)


def _paths(values: tuple[StringMatch, ...]) -> Settled:
    terms: list[Settled] = []
    for one in values:
        if one.prefix is not None:
            terms.append(Text(header=":path", prefix=one.prefix))
        elif one.present:
            terms.append(Text(header=":path", regex=".+"))
        else:
            if one.suffix is not None:
                core = "[^?]*" + re.escape(one.suffix)
            elif one.template is not None:
                core = template_regex(one.template)
            else:
                core = re.escape(one.exact or "")
            terms.append(Text(header=":path", regex=core + _PATH_END))
    return any_of(terms)


def _hosts(values: tuple[StringMatch, ...]) -> Settled:
    terms: list[Settled] = []
    for one in values:
        terms.append(_text(":authority", one, ignore_case=True))
        if one.exact is not None and ":" not in one.exact:
            terms.append(Text(header=":authority", regex=rf"(?i){re.escape(one.exact)}:\d+"))
        elif one.suffix is not None:
            terms.append(Text(header=":authority", regex=rf"(?i).*{re.escape(one.suffix)}:\d+"))
    return any_of(terms)


def _pair(
    positive: tuple[StringMatch, ...],
    negative: tuple[StringMatch, ...],
    matcher: Callable[[tuple[StringMatch, ...]], Settled],
) -> list[Settled]:
    terms: list[Settled] = []
    if positive:
        terms.append(matcher(positive))
    if negative:
        terms.append(negate(matcher(negative)))
    return terms


def namespace_of(identity: str) -> str:
    """Namespace of a workload's SPIFFE ID (`/ns/NAMESPACE/sa/...`); "" if it has none."""
    parts = identity.removeprefix(_SCHEME).split("/")
    return parts[2] if len(parts) == 5 and parts[1] == "ns" and parts[3] == "sa" else ""


class Authorization:
    """The AuthorizationPolicies of one endpoint."""

    def __init__(self, state: NodeState, endpoint: EndpointProgram) -> None:
        self._no_allow = endpoint.no_allow_id
        found = [state.authorizations.get(name, name) for name in endpoint.authorization]
        self.missing = [one for one in found if isinstance(one, str)]
        self.programs = [one for one in found if isinstance(one, AuthzProgram) and not one.dry_run]

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
        if self.missing:
            return Leaf(allow=False, rules=(f"{self.missing[0]}/missing",))
        grants = [one for one in self.programs if one.action is AuthzAction.ALLOW]
        current: Decision = Leaf(allow=True, rules=allowed)
        if grants:
            current = Leaf(allow=False, rules=(self._no_allow,))
            for program in reversed(grants):
                for rule in reversed(program.rules):
                    leaf = Leaf(allow=True, rules=(*allowed, rule.id))
                    current = branch(_rule(rule, flow, strict=True), leaf, current)
        for action in (AuthzAction.DENY, AuthzAction.CUSTOM):
            for program in reversed([one for one in self.programs if one.action is action]):
                for rule in reversed(program.rules):
                    leaf = Leaf(allow=False, rules=(rule.id,))
                    current = branch(_rule(rule, flow, strict=False), leaf, current)
        return current


def _rule(rule: AuthzRule, flow: Flow, *, strict: bool) -> Settled:
    terms: list[Settled] = []
    if rule.sources:
        terms.append(any_of([_source(one, flow, strict) for one in rule.sources]))
    if rule.operations:
        terms.append(any_of([_operation(one, flow) for one in rule.operations]))
    terms += [_condition(one, flow, strict) for one in rule.conditions]
    return all_of(terms)


def _source(source: AuthzSource, flow: Flow, strict: bool) -> Settled:
    principal = flow.source.identity.removeprefix(_SCHEME)
    namespace = namespace_of(flow.source.identity)
    terms: list[Settled] = [
        *_pair(source.principals, source.not_principals, lambda one: fixed(one, principal)),
        *_pair(source.namespaces, source.not_namespaces, lambda one: fixed(one, namespace)),
    ]
    if source.request_principals or source.not_request_principals:
        terms.append(not strict)
    for blocks, without in (
        (source.ip_blocks, source.not_ip_blocks),
        (source.remote_ip_blocks, source.not_remote_ip_blocks),
    ):
        if blocks:
            terms.append(any(net in flow.source.nets for net in blocks))
        if without:
            terms.append(not any(net in flow.source.nets for net in without))
    return all_of(terms)


def _operation(operation: AuthzOperation, flow: Flow) -> Settled:
    terms: list[Settled] = []
    if operation.ports:
        terms.append(flow.port in operation.ports)
    if operation.not_ports:
        terms.append(flow.port not in operation.not_ports)
    terms += _pair(operation.hosts, operation.not_hosts, _hosts)
    terms += _pair(operation.methods, operation.not_methods, lambda one: _header(":method", one))
    terms += _pair(operation.paths, operation.not_paths, _paths)
    return all_of(terms)


def _condition(condition: AuthzCondition, flow: Flow, strict: bool) -> Settled:
    header = re.fullmatch(r"request\.headers\[([^\]]+)\]", condition.key)
    if header:
        name = header.group(1).lower()
        return all_of(_pair(condition.values, condition.not_values, lambda one: _header(name, one)))
    if condition.key in {"source.ip", "remote.ip", "destination.ip"}:
        end = flow.destination if condition.key == "destination.ip" else flow.source
        terms: list[Settled] = []
        if condition.cidrs:
            terms.append(any(net in end.nets for net in condition.cidrs))
        if condition.not_cidrs:
            terms.append(not any(net in end.nets for net in condition.not_cidrs))
        return all_of(terms)
    known = {
        "source.principal": flow.source.identity.removeprefix(_SCHEME),
        "source.namespace": namespace_of(flow.source.identity),
        "destination.port": str(flow.port),
    }
    if condition.key not in known:
        return not strict
    value = known[condition.key]
    return all_of(_pair(condition.values, condition.not_values, lambda one: fixed(one, value)))
