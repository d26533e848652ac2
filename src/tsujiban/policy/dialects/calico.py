"""projectcalico.org/v3 policies and profiles.

Source: Calico's resource reference (NetworkPolicy, GlobalNetworkPolicy, Profile, "Selectors",
"EntityRule"). As there, any selector clause of a namespaced policy's rule limits that end to
the policy's own namespace, unless a namespaceSelector says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

from tsujiban.policy import predicates
from tsujiban.policy.addresses import canonical
from tsujiban.policy.definitions import NetworkPolicyForm, ProfileForm, SetDefinition, SetKind, Sets
from tsujiban.policy.dialects.common import Place, protocol_number
from tsujiban.policy.program import (
    Action,
    Direction,
    Http,
    Icmp,
    PathMatch,
    PolicyProgram,
    PortRange,
    Ports,
    Rule,
    Side,
)
from tsujiban.resources import defaults, selectors
from tsujiban.resources.httppath import normalize
from tsujiban.resources.kinds import calico
from tsujiban.resources.ports import parse as parse_port
from tsujiban.resources.protocols import TCP
from tsujiban.resources.selector_nodes import In
from tsujiban.resources.selectors import Selector

ACTIONS = {"allow": Action.ALLOW, "deny": Action.DENY, "pass": Action.PASS, "log": Action.LOG}

Namespaced = calico.NetworkPolicy | calico.StagedNetworkPolicy
Global = calico.GlobalNetworkPolicy | calico.StagedGlobalNetworkPolicy


def compile_policy(policy: Namespaced | Global, place: Place) -> NetworkPolicyForm | None:
    """The normal form; None for a staged policy that only asks for a deletion, or for nothing."""
    staged = False
    if isinstance(policy, calico.StagedNetworkPolicy | calico.StagedGlobalNetworkPolicy):
        staged = True
        if policy.spec.staged_action in ("Delete", "Ignore"):
            return None
    namespace = "" if isinstance(policy, Global) else (policy.metadata.namespace or "default")
    name, spec = policy.metadata.name, policy.spec
    prefix = f"{namespace or '_global'}/{'staged:' if staged else ''}{name}"
    subjects = _subjects(policy, namespace)
    sets = Sets()
    types = defaults.calico_types(spec)
    program = PolicyProgram(
        id=prefix,
        staged=staged,
        ingress=compile_rules(spec.ingress, Direction.INGRESS, prefix, namespace, subjects, sets, place),
        egress=compile_rules(spec.egress, Direction.EGRESS, prefix, namespace, subjects, sets, place),
        origin=place.origin(),
    )
    if isinstance(spec, calico.GlobalNetworkPolicySpec):
        program = PolicyProgram(
            id=program.id,
            staged=staged,
            ingress=program.ingress,
            egress=program.egress,
            apply_on_forward=spec.apply_on_forward or spec.pre_dnat or spec.do_not_track,
            pre_dnat=spec.pre_dnat,
            do_not_track=spec.do_not_track,
            origin=program.origin,
        )
    return NetworkPolicyForm(
        program=program,
        tier=defaults.tier(spec),
        order=defaults.policy_order(spec),
        tie=(name, namespace, policy.kind),
        selector=subjects,
        directions=tuple(d for d in Direction if d.capitalize() in types),
        sets=sets.definitions,
    )


def compile_profile(profile: calico.Profile, place: Place) -> ProfileForm:
    """The normal form of a profile."""
    prefix = f"_profile/{profile.metadata.name}"
    sets, everything = Sets(), selectors.EVERYTHING
    spec = profile.spec
    return ProfileForm(
        program=PolicyProgram(
            id=prefix,
            ingress=compile_rules(spec.ingress, Direction.INGRESS, prefix, "", everything, sets, place),
            egress=compile_rules(spec.egress, Direction.EGRESS, prefix, "", everything, sets, place),
            origin=place.origin(),
        ),
        labels=spec.labels_to_apply,
        sets=sets.definitions,
    )


def _subjects(policy: Namespaced | Global, namespace: str) -> Selector:
    spec = policy.spec
    parts = [selectors.parse(spec.selector)]
    if namespace:
        parts.append(predicates.in_namespace(namespace))
    elif isinstance(spec, calico.GlobalNetworkPolicySpec) and spec.namespace_selector:
        parts.append(predicates.in_namespaces(selectors.parse(spec.namespace_selector)))
    if spec.service_account_selector:
        parts.append(predicates.with_accounts(selectors.parse(spec.service_account_selector)))
    return selectors.conjunction(*parts)


def compile_rules(
    rules: Sequence[calico.Rule],
    direction: Direction,
    prefix: str,
    namespace: str,
    subjects: Selector,
    sets: Sets,
    place: Place,
) -> tuple[Rule, ...]:
    """Rules of one direction of one policy. Raises ValueError for an action or protocol that
    does not exist."""
    compiled = []
    for index, rule in enumerate(rules):
        ingress = direction is Direction.INGRESS
        protocols = () if rule.protocol is None else (protocol_number(rule.protocol),)
        named = protocols[0] if protocols else TCP
        http = _http(rule.http)
        compiled.append(
            Rule(
                id=f"{prefix}/{direction}/{index}",
                action=_action(rule.action),
                ip_version=rule.ip_version,
                protocols=protocols,
                not_protocols=() if rule.not_protocol is None else (protocol_number(rule.not_protocol),),
                icmp=_icmp(rule.icmp),
                not_icmp=_icmp(rule.not_icmp),
                src=_side(rule.source, namespace, named, sets, None if ingress else subjects, False),
                dst=_side(rule.destination, namespace, named, sets, subjects if ingress else None, True),
                http=http,
                origin=place.origin(f"spec.{direction}[{index}]"),
            )
        )
    return tuple(compiled)


def _action(name: str) -> Action:
    try:
        return ACTIONS[name.lower()]
    except KeyError:
        raise ValueError(f"unknown action {name!r}") from None


def _icmp(fields: calico.ICMPFields | None) -> Icmp | None:
    return None if fields is None else Icmp(type=fields.type, code=fields.code)


def _http(match: calico.HTTPMatch | None) -> Http | None:
    if match is None:
        return None
    return Http(methods=match.methods, paths=tuple(map(_path, match.paths)))


def _path(path: calico.HTTPPath) -> PathMatch:
    """In normal form; what has none is matched by no path, for every path begins with a slash."""
    if path.exact:
        return PathMatch(exact=normalize(path.exact) or "")
    return PathMatch(prefix=normalize(path.prefix) or "\0")


def _side(
    entity: calico.EntityRule,
    namespace: str,
    protocol: int,
    sets: Sets,
    subjects: Selector | None,
    with_ports: bool,
) -> Side:
    """One end of a rule. `subjects` is what the policy selects, when that is this end."""
    selector = _entity_selector(entity, namespace)
    where = selector or subjects or selectors.EVERYTHING
    names = [] if selector is None else [sets.endpoints(selector)]
    services: tuple[str, ...] = ()
    if entity.services is not None:
        service = f"{entity.services.namespace or namespace}/{entity.services.name}"
        kind = SetKind.SERVICE if with_ports else SetKind.SERVICE_ADDRESSES
        name = sets.add(SetDefinition(kind=kind, name=service))
        if with_ports:
            services = (name,)
        else:
            names.append(name)
    not_sets: tuple[str, ...] = ()
    if entity.not_selector:
        not_sets = (sets.endpoints(selectors.parse(entity.not_selector)),)
    return Side(
        nets=tuple(canonical(net) for net in entity.nets) if entity.nets else None,
        not_nets=tuple(canonical(net) for net in entity.not_nets),
        sets=tuple(names),
        not_sets=not_sets,
        services=services,
        ports=_ports(entity.ports, protocol, where, sets),
        not_ports=_ports(entity.not_ports, protocol, where, sets),
    )


def _entity_selector(entity: calico.EntityRule, namespace: str) -> Selector | None:
    parts: list[Selector] = []
    accounts = entity.service_accounts
    if accounts is not None and accounts.names:
        parts.append(selectors.of(In(predicates.SERVICE_ACCOUNT, frozenset(accounts.names))))
    if accounts is not None and accounts.selector:
        parts.append(predicates.with_accounts(selectors.parse(accounts.selector)))
    if entity.selector:
        parts.append(selectors.parse(entity.selector))
    if entity.namespace_selector:
        parts.append(predicates.in_namespaces(selectors.parse(entity.namespace_selector)))
    elif namespace and (parts or entity.not_selector):
        parts.append(predicates.in_namespace(namespace))
    return selectors.conjunction(*parts) if parts else None


def _ports(ports: Sequence[int | str], protocol: int, where: Selector, sets: Sets) -> Ports | None:
    if not ports:
        return None
    ranges, named = [], []
    for port in ports:
        found = parse_port(port)
        if isinstance(found, str):
            named.append(sets.named_port(found, protocol, where))
        else:
            ranges.append(PortRange(first=found.first, last=found.last))
    return Ports(ranges=tuple(ranges), named=tuple(named))
