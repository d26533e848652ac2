"""What stands open: workloads that no policy guards, rules without limits, namespaces without a net."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from tsujiban.policy.addresses import span
from tsujiban.policy.definitions import AuthorizationForm, NetworkPolicyForm
from tsujiban.policy.graph import Change, key_of
from tsujiban.policy.lint.codes import (
    NO_DEFAULT_DENY,
    NO_EGRESS_DENY,
    UNPROTECTED,
    WIDE_OPEN,
    LintFinding,
)
from tsujiban.policy.lint.parts import Places, limits_ports
from tsujiban.policy.lint.space import Space, TooManyClasses
from tsujiban.policy.lint.subject import Subject, finding
from tsujiban.policy.offline import OfflineWorld
from tsujiban.policy.program import Action, AuthzAction, AuthzRule, Direction, EndpointProgram, Rule, Side
from tsujiban.policy.world import World
from tsujiban.resources.kinds import core
from tsujiban.resources.kinds.meta import ObjectMeta
from tsujiban.resources.load import LoadedObject
from tsujiban.resources.protocols import WITH_PORTS

_PROBE = "tsujiban-lint-unnamed-pod"


def check(subject: Subject) -> Iterator[LintFinding]:
    """Findings about what is open."""
    yield from unprotected(subject)
    yield from wide_open(subject)
    yield from namespaces(subject)


# ---------------------------------------------------------------------- workloads


def unprotected(subject: Subject) -> Iterator[LintFinding]:
    """Workloads whose ingress no enforced policy looks at, neither of the network nor of the mesh."""
    told: set[str] = set()
    for endpoint in subject.world.endpoints.values():
        about = subject.endpoint_object(endpoint.id)
        if about is None or about.title in told or _guarded(subject, endpoint):
            continue
        told.add(about.title)
        yield finding(
            UNPROTECTED,
            about,
            (),
            "no policy says who may reach it: everybody may",
            "write a policy with ingress rules that selects it",
        )


def _guarded(subject: Subject, endpoint: EndpointProgram) -> bool:
    policies = subject.world.policies
    if any(not policies[name].staged for tier in endpoint.ingress for name in tier.policies):
        return True
    return any(
        program.action is AuthzAction.ALLOW and not program.dry_run
        for program in map(subject.world.authorizations.__getitem__, endpoint.authorization)
    )


# ---------------------------------------------------------------------- rules


def wide_open(subject: Subject) -> Iterator[LintFinding]:
    """Allow rules that limit neither the peer nor the port."""
    for name, form in subject.forms.items():
        about = subject.written[name]
        if isinstance(form, NetworkPolicyForm):
            for direction, rules in (("in", form.program.ingress), ("out", form.program.egress)):
                for rule in {r.id: r for r in rules if _is_open(r, direction == "in")}.values():
                    yield _open(subject, about, name, rule.id, direction)
        elif isinstance(form, AuthorizationForm) and form.program.action is AuthzAction.ALLOW:
            for authz in form.program.rules:
                if authz == AuthzRule(id=authz.id, origin=authz.origin):
                    yield _open(subject, about, name, authz.id, "in")


def _open(subject: Subject, about: LoadedObject, policy: str, rule: str, direction: str) -> LintFinding:
    return finding(
        WIDE_OPEN,
        about,
        subject.rule_path(policy, rule),
        f"it lets everything {direction}, {'from' if direction == 'in' else 'to'} anywhere, on any port",
        "name the peers, or at least the ports",
    )


def _is_open(rule: Rule, ingress: bool) -> bool:
    far, near = (rule.src, rule.dst) if ingress else (rule.dst, rule.src)
    if rule.action is not Action.ALLOW or rule.http is not None or rule.icmp is not None:
        return False
    if far.sets or far.services or not _anywhere(far) or near.services:
        return False
    return not any(limits_ports(ports) for ports in (rule.dst.ports, rule.src.ports)) and _any_protocol(rule)


def _any_protocol(rule: Rule) -> bool:
    """A whole protocol counts as everything, ICMP and its like do not."""
    return not rule.protocols or any(protocol in WITH_PORTS for protocol in rule.protocols)


def _anywhere(side: Side) -> bool:
    if side.nets is None:
        return True
    return any(last - first + 1 in (1 << 32, 1 << 128) for _, first, last in map(span, side.nets))


# ---------------------------------------------------------------------- namespaces


def namespaces(subject: Subject) -> Iterator[LintFinding]:
    """Namespaces in which a pod without labels would be judged by no policy."""
    members: dict[str, LoadedObject] = {}
    for endpoint in subject.world.endpoints.values():
        about = subject.endpoint_object(endpoint.id)
        if not endpoint.host and about is not None:
            members.setdefault(endpoint.id.partition("/")[0], about)
    written = {one.name: one for one in subject.objects if one.kind.kind == "Namespace"}
    for namespace, missing in sorted(open_namespaces(subject.offline, members).items()):
        about = written.get(namespace) or members[namespace]
        for direction in missing:
            code = NO_DEFAULT_DENY if direction is Direction.INGRESS else NO_EGRESS_DENY
            way = "reached from anywhere" if direction is Direction.INGRESS else "allowed to reach anything"
            yield finding(
                code,
                about,
                (),
                f"a pod in namespace {namespace} that no policy names is {way}",
                f"add a policy that selects every pod of it, with type {direction.capitalize()} and no rules",
            )


def open_namespaces(offline: OfflineWorld, names: Iterable[str]) -> dict[str, list[Direction]]:
    """For each namespace, the directions in which a pod without labels falls through to its profile."""
    wanted = sorted(names)
    probes = [_probe(namespace) for namespace in wanted]
    changes: list[Change] = [(key_of(pod), pod) for pod in probes]
    offline.graph.apply(changes)
    try:
        world = World(offline.graph.state(), offline.world.failsafes)
    finally:
        offline.graph.apply([(key, None) for key, _ in changes])
    places = Places(world)
    found: dict[str, list[Direction]] = defaultdict(list)
    for namespace in wanted:
        endpoint = world.endpoints[f"{namespace}/{_PROBE}"]
        for direction in Direction:
            try:
                space = Space(places, endpoint, direction, endpoint.addresses[0])
            except TooManyClasses:
                continue  # it has policies; what they leave open is not known
            reached = space.walk(world.policies).reached
            if any(bits and rule.startswith("_profile/") for rule, bits in reached.items()):
                found[namespace].append(direction)
    return found


def _probe(namespace: str) -> core.Pod:
    return core.Pod(api_version="v1", kind="Pod", metadata=ObjectMeta(name=_PROBE, namespace=namespace))
