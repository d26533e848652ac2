"""security.istio.io: AuthorizationPolicy, PeerAuthentication, RequestAuthentication.

Source: Istio's API reference, "Security". A policy in the root namespace applies to the whole
mesh. `cluster.local` in a principal stands for the trust domain of the mesh, as in Istio.
"""

from __future__ import annotations

from collections.abc import Iterable

from tsujiban.policy import predicates
from tsujiban.policy.definitions import AuthorizationForm, PeerAuthenticationForm, RequestAuthenticationForm
from tsujiban.policy.dialects.common import Place
from tsujiban.policy.program import (
    AuthzAction,
    AuthzCondition,
    AuthzOperation,
    AuthzProgram,
    AuthzRule,
    AuthzSource,
    JwtRule,
    MtlsMode,
    StringMatch,
)
from tsujiban.resources import pathtemplate, selectors
from tsujiban.resources.kinds import istio
from tsujiban.resources.selector_nodes import And, Equals, Node, Or
from tsujiban.resources.selectors import Selector

LOCAL_DOMAIN = "cluster.local"  # the mesh's own trust domain, whatever its name
GATEWAY = "gateway.networking.k8s.io/gateway-name"
IP_KEYS = frozenset({"source.ip", "remote.ip", "destination.ip"})
MODES = {"STRICT": MtlsMode.STRICT, "PERMISSIVE": MtlsMode.PERMISSIVE, "DISABLE": MtlsMode.DISABLE}


class MeshNames:
    """What the mesh is called: needed to read principals and to know the root namespace."""

    __slots__ = ("root_namespace", "trust_domain")

    def __init__(self, trust_domain: str, root_namespace: str = istio.ROOT_NAMESPACE) -> None:
        self.trust_domain = trust_domain
        self.root_namespace = root_namespace


def compile_authorization(
    policy: istio.AuthorizationPolicy, place: Place, mesh: MeshNames
) -> AuthorizationForm:
    """The normal form of an AuthorizationPolicy."""
    namespace = policy.metadata.namespace or "default"
    spec = policy.spec
    prefix = f"{namespace}/authz:{policy.metadata.name}"
    rules = tuple(
        AuthzRule(
            id=f"{prefix}/{index}",
            sources=tuple(_source(f.source or istio.Source(), namespace, mesh) for f in rule.from_),
            operations=tuple(_operation(to.operation or istio.Operation()) for to in rule.to),
            conditions=tuple(_condition(condition, namespace, mesh) for condition in rule.when),
            origin=place.origin(f"spec.rules[{index}]"),
        )
        for index, rule in enumerate(spec.rules)
    )
    program = AuthzProgram(
        id=prefix,
        action=AuthzAction((spec.action or "ALLOW").lower()),
        provider=spec.provider.name if spec.provider is not None else "",
        rules=rules,
        dry_run=policy.metadata.annotations.get(istio.DRY_RUN, "") in istio.TRUE,
        origin=place.origin(),
    )
    selector, services = _subjects(spec, namespace, mesh)
    return AuthorizationForm(program=program, selector=selector, services=services)


def compile_peer_authentication(policy: istio.PeerAuthentication, mesh: MeshNames) -> PeerAuthenticationForm:
    """The normal form of a PeerAuthentication. Port modes count only beside a selector; one with a
    selector in the root namespace selects nothing, as in Istio: the mesh's own has none."""
    namespace = policy.metadata.namespace or "default"
    spec = policy.spec
    selective = spec.selector is not None and bool(spec.selector.match_labels)
    scope = 2 if selective else 0 if namespace == mesh.root_namespace else 1
    ports = {int(port): _mode(mtls) for port, mtls in spec.port_level_mtls.items()} if selective else {}
    lost = selective and namespace == mesh.root_namespace
    return PeerAuthenticationForm(
        id=f"{namespace}/pa:{policy.metadata.name}/mtls",
        selector=selectors.NOTHING if lost else _workloads(spec.selector, namespace, mesh),
        scope=scope,
        age=(policy.metadata.creation_timestamp, f"{namespace}/{policy.metadata.name}"),
        mode=_mode(spec.mtls),
        ports=ports,
    )


def compile_request_authentication(
    policy: istio.RequestAuthentication, place: Place, mesh: MeshNames
) -> RequestAuthenticationForm:
    """The normal form of a RequestAuthentication."""
    namespace = policy.metadata.namespace or "default"
    spec = policy.spec
    prefix = f"{namespace}/ra:{policy.metadata.name}"
    rules = tuple(
        JwtRule(
            id=f"{prefix}/{index}",
            issuer=rule.issuer,
            audiences=rule.audiences,
            jwks=rule.jwks,
            jwks_uri=rule.jwks_uri,
            from_headers=tuple((header.name, header.prefix) for header in rule.from_headers),
            from_params=rule.from_params,
            from_cookies=rule.from_cookies,
            forward=rule.forward_original_token,
            required=rule.presence == "REQUIRED",
            space_delimited=rule.space_delimited_claims,
            claims_to_headers=tuple((one.header, one.claim) for one in rule.output_claim_to_headers),
            payload_header=rule.output_payload_to_header,
            origin=place.origin(f"spec.jwtRules[{index}]"),
        )
        for index, rule in enumerate(spec.jwt_rules)
    )
    selector, services = _subjects(spec, namespace, mesh)
    return RequestAuthenticationForm(id=prefix, selector=selector, rules=rules, services=services)


def _mode(mtls: istio.MutualTLS | None) -> MtlsMode | None:
    return None if mtls is None else MODES.get(mtls.mode)


def _subjects(
    spec: istio.AuthorizationPolicySpec | istio.RequestAuthenticationSpec, namespace: str, mesh: MeshNames
) -> tuple[Selector, tuple[str, ...]]:
    """What a policy selects by itself, and the Services whose pods it selects. A Gateway's pods
    are known by the label that every implementation of the Gateway API gives them."""
    targets = spec.target_refs or ((spec.target_ref,) if spec.target_ref is not None else ())
    if not targets:
        return _workloads(spec.selector, namespace, mesh), ()
    here = Equals(predicates.NAMESPACE, namespace)
    gateways = tuple(And((Equals(GATEWAY, t.name), here)) for t in targets if t.kind == "Gateway")
    services = tuple(f"{namespace}/{t.name}" for t in targets if t.kind == "Service")
    if not gateways:
        return selectors.NOTHING, services
    return selectors.of(gateways[0] if len(gateways) == 1 else Or(gateways)), services


def _workloads(selector: istio.WorkloadSelector | None, namespace: str, mesh: MeshNames) -> Selector:
    nodes: list[Node] = []
    if selector is not None:
        nodes += [Equals(key, value) for key, value in sorted(selector.match_labels.items())]
    if namespace != mesh.root_namespace:
        nodes.append(Equals(predicates.NAMESPACE, namespace))
    return selectors.conjunction(*(selectors.of(node) for node in nodes)) if nodes else selectors.EVERYTHING


def value_match(value: str) -> StringMatch:
    """Istio's value forms: `*`, `*suffix`, `prefix*`, or exact."""
    if value == "*":
        return StringMatch(present=True)
    if value.startswith("*"):
        return StringMatch(suffix=value[1:])
    if value.endswith("*"):
        return StringMatch(prefix=value[:-1])
    return StringMatch(exact=value)


def path_match(value: str) -> StringMatch:
    """A path: as any value, or a template with `{*}` and `{**}`."""
    if pathtemplate.is_template(value):
        return StringMatch(template=value)
    return value_match(value)


def principal_match(value: str, mesh: MeshNames) -> StringMatch:
    """A principal, with `cluster.local` read as the mesh's trust domain."""
    if value.startswith(LOCAL_DOMAIN + "/"):
        value = mesh.trust_domain + value[len(LOCAL_DOMAIN) :]
    return value_match(value)


def account_match(value: str, namespace: str) -> StringMatch:
    """`account` or `namespace/account`, in any trust domain whose certificates are taken."""
    where, slash, account = value.partition("/")
    if not slash:
        where, account = namespace, value
    return StringMatch(suffix=f"/ns/{where}/sa/{account}")


def domain_match(value: str, mesh: MeshNames) -> StringMatch:
    """A trust domain, with `cluster.local` read as the mesh's own."""
    return value_match(mesh.trust_domain if value == LOCAL_DOMAIN else value)


def _values(values: Iterable[str]) -> tuple[StringMatch, ...]:
    return tuple(value_match(value) for value in values)


def _source(source: istio.Source, namespace: str, mesh: MeshNames) -> AuthzSource:
    def principals(plain: Iterable[str], accounts: Iterable[str]) -> tuple[StringMatch, ...]:
        own = tuple(principal_match(value, mesh) for value in plain)
        return own + tuple(account_match(value, namespace) for value in accounts)

    def domains(values: Iterable[str]) -> tuple[StringMatch, ...]:
        return tuple(domain_match(value, mesh) for value in values)

    return AuthzSource(
        principals=principals(source.principals, source.service_accounts),
        not_principals=principals(source.not_principals, source.not_service_accounts),
        trust_domains=domains(source.trust_domains),
        not_trust_domains=domains(source.not_trust_domains),
        namespaces=_values(source.namespaces),
        not_namespaces=_values(source.not_namespaces),
        request_principals=_values(source.request_principals),
        not_request_principals=_values(source.not_request_principals),
        ip_blocks=source.ip_blocks,
        not_ip_blocks=source.not_ip_blocks,
        remote_ip_blocks=source.remote_ip_blocks,
        not_remote_ip_blocks=source.not_remote_ip_blocks,
    )


def _operation(operation: istio.Operation) -> AuthzOperation:
    return AuthzOperation(
        hosts=_values(operation.hosts),
        not_hosts=_values(operation.not_hosts),
        ports=tuple(int(port) for port in operation.ports),
        not_ports=tuple(int(port) for port in operation.not_ports),
        methods=_values(operation.methods),
        not_methods=_values(operation.not_methods),
        paths=tuple(path_match(path) for path in operation.paths),
        not_paths=tuple(path_match(path) for path in operation.not_paths),
    )


def _condition(condition: istio.Condition, namespace: str, mesh: MeshNames) -> AuthzCondition:
    if condition.key in IP_KEYS:
        return AuthzCondition(key=condition.key, cidrs=condition.values, not_cidrs=condition.not_values)

    def convert(value: str) -> StringMatch:
        if condition.key == "source.principal":
            return principal_match(value, mesh)
        if condition.key == "source.serviceAccount":
            return account_match(value, namespace)
        if condition.key == "source.trustDomain":
            return domain_match(value, mesh)
        return value_match(value)

    return AuthzCondition(
        key=condition.key,
        values=tuple(map(convert, condition.values)),
        not_values=tuple(map(convert, condition.not_values)),
    )
