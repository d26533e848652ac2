"""What is written as it should not be, though it may work: who is trusted, and what cannot be judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tsujiban.policy.definitions import AuthorizationForm, NetworkPolicyForm
from tsujiban.policy.lint.codes import (
    DEFAULT_ACCOUNT,
    EMPTY_TIER,
    NO_PROXY,
    UNDECLARED_PORT,
    LintFinding,
)
from tsujiban.policy.lint.subject import ProgramForm, Subject, finding
from tsujiban.policy.program import (
    Action,
    AuthzAction,
    AuthzRule,
    EndpointProgram,
    Mesh,
    Rule,
)
from tsujiban.policy.workloads import template_of
from tsujiban.resources import defaults, protocols
from tsujiban.resources.kinds import calico, core, istio
from tsujiban.resources.load import LoadedObject
from tsujiban.resources.protocols import TCP

_DEFAULT = "default"


def check(subject: Subject) -> Iterator[LintFinding]:
    """Findings about habits."""
    selected = subject.selected()
    yield from default_accounts(subject)
    yield from without_proxy(subject, selected)
    yield from undeclared_ports(subject, selected)
    yield from empty_tiers(subject)


def default_accounts(subject: Subject) -> Iterator[LintFinding]:
    """Rules that let in by the service account `default`, which every pod has that asks for none."""
    hint = "give the workload a service account of its own, and name that"
    message = "it trusts the service account 'default', which every pod of the namespace gets unasked"
    for name, form in subject.forms.items():
        about = subject.written[name]
        obj = about.object
        if isinstance(obj, calico.NetworkPolicy | calico.GlobalNetworkPolicy):
            for direction, rules in (("ingress", obj.spec.ingress), ("egress", obj.spec.egress)):
                for index, rule in enumerate(rules):
                    for end, entity in (("source", rule.source), ("destination", rule.destination)):
                        accounts = entity.service_accounts
                        if rule.action == "Allow" and accounts is not None and _DEFAULT in accounts.names:
                            path = ("spec", direction, index, end, "serviceAccounts")
                            yield finding(DEFAULT_ACCOUNT, about, path, message, hint)
        elif isinstance(form, AuthorizationForm) and form.program.action is AuthzAction.ALLOW:
            for authz in form.program.rules:
                if any(
                    (match.exact or match.suffix or "").endswith(f"/sa/{_DEFAULT}")
                    for source in authz.sources
                    for match in source.principals
                ):
                    yield finding(DEFAULT_ACCOUNT, about, subject.rule_path(name, authz.id), message, hint)


def without_proxy(subject: Subject, selected: dict[str, list[EndpointProgram]]) -> Iterator[LintFinding]:
    """Rules that only a proxy can judge, on workloads that have none."""
    for name, form in subject.forms.items():
        meant = list(_under(subject, name, form, selected))
        plain = sorted(endpoint.id for endpoint in meant if endpoint.mesh is Mesh.NONE)
        about = subject.written[name]
        if not plain or (_is_general(about) and len(plain) < len(meant)):
            continue
        where = plain[0] if len(plain) == 1 else f"{plain[0]} and {len(plain) - 1} more"
        hint = "put the workload into the mesh, or select it by another policy"
        if isinstance(form, NetworkPolicyForm):
            for rule in {r.id: r for r in form.program.ingress if r.http is not None}.values():
                path = (*subject.rule_path(name, rule.id), "http")
                message = f"an HTTP rule never matches at {where}, which has no proxy"
                yield finding(NO_PROXY, about, path, message, hint)
        elif isinstance(form, AuthorizationForm):
            message = f"an AuthorizationPolicy says nothing at {where}, which has no proxy"
            yield finding(NO_PROXY, about, ("spec",), message, hint)


def _is_general(about: LoadedObject) -> bool:
    """Whether an AuthorizationPolicy is on whole namespaces: then plain workloads among the others are
    no mistake of its."""
    obj = about.object
    if not isinstance(obj, istio.AuthorizationPolicy):
        return False
    return obj.spec.selector is None or not obj.spec.selector.match_labels


def _under(
    subject: Subject, name: str, form: ProgramForm, selected: dict[str, list[EndpointProgram]]
) -> Iterable[EndpointProgram]:
    """The endpoints that a policy means, also where the mesh's policies are not enforced."""
    if isinstance(form, AuthorizationForm):
        labels = subject.offline.graph.labels
        everything = subject.world.endpoints.values()
        return [endpoint for endpoint in everything if form.selector.matches(labels(endpoint.id))]
    return selected.get(name, ())


# ---------------------------------------------------------------------- ports


def undeclared_ports(subject: Subject, selected: dict[str, list[EndpointProgram]]) -> Iterator[LintFinding]:
    """Ingress rules for ports that no container of any selected workload declares."""
    for name, form in subject.forms.items():
        here = selected.get(name, ())
        declared: set[tuple[int, int]] = set()
        known = True
        for endpoint in here:
            about = subject.endpoint_object(endpoint.id)
            ports = None if about is None else declared_ports(about)
            known = known and bool(ports)
            declared |= ports or set()
        if not here or not known:  # a workload that declares none may listen anywhere
            continue
        about = subject.written[name]
        if isinstance(form, NetworkPolicyForm):
            by_id: dict[str, list[Rule]] = {}
            for rule in form.program.ingress:
                by_id.setdefault(rule.id, []).append(rule)
            wrong = [(rule_id, _single(rules)) for rule_id, rules in by_id.items()]
        elif isinstance(form, AuthorizationForm) and form.program.action is AuthzAction.ALLOW:
            wrong = [(rule.id, _authz_ports(rule)) for rule in form.program.rules]
        else:
            continue
        for rule_id, wanted in wrong:
            missing = sorted(port for protocol, port in wanted if (protocol, port) not in declared)
            if missing:
                numbers = ", ".join(map(str, missing))
                there = ", ".join(map(str, sorted({port for _, port in declared})))
                message = f"no container that it selects declares port {numbers}; declared: {there}"
                hint = "policies see the port of the pod (targetPort), not the service's"
                yield finding(UNDECLARED_PORT, about, subject.rule_path(name, rule_id), message, hint)


def _single(rules: Iterable[Rule]) -> set[tuple[int, int]]:
    """(protocol, port) of the ports that a rule names one by one; a range may mean a future port."""
    return {
        (protocol, piece.first)
        for rule in rules
        if rule.action is Action.ALLOW and rule.dst.ports is not None
        for piece in rule.dst.ports.ranges
        if piece.first == piece.last
        for protocol in rule.protocols or (TCP,)
    }


def _authz_ports(rule: AuthzRule) -> set[tuple[int, int]]:
    return {(TCP, port) for operation in rule.operations for port in operation.ports}


def declared_ports(about: LoadedObject) -> set[tuple[int, int]]:
    """(protocol, port) that the containers of a workload declare."""
    template = about.object if isinstance(about.object, core.Pod) else template_of(about.object)
    if template is None:
        return set()
    return {
        (protocols.number(port.protocol or "TCP") or TCP, port.container_port)
        for container in (*template.spec.containers, *template.spec.init_containers)
        for port in container.ports
    }


# ---------------------------------------------------------------------- tiers


def empty_tiers(subject: Subject) -> Iterator[LintFinding]:
    """Tiers that hold no policy."""
    used = {form.tier for form in subject.forms.values() if isinstance(form, NetworkPolicyForm)}
    for one in subject.objects:
        if one.kind.kind == "Tier" and one.name not in used and one.name not in defaults.BUILT_IN_TIERS:
            yield finding(
                EMPTY_TIER, one, (), "no policy is in this tier", "remove it, or put policies into it"
            )
