"""security.istio.io v1 and v1beta1: AuthorizationPolicy, PeerAuthentication, RequestAuthentication.

Source: Istio's API reference, "Security".
"""

from __future__ import annotations

from typing import Any

import msgspec

from tsujiban.resources.kinds.meta import Object, Shape

ROOT_NAMESPACE = "istio-system"
"""Policies here are about the whole mesh."""

DRY_RUN = "istio.io/dry-run"
"""Annotation: an AuthorizationPolicy that is judged and not enforced."""

TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))
"""What Istio reads as a truth value in an annotation."""


class WorkloadSelector(Shape, frozen=True):
    """Pods with all of these labels; empty selects all."""

    match_labels: dict[str, str] = msgspec.field(default_factory=dict)


class PolicyTargetReference(Shape, frozen=True):
    """A Gateway, Service or the like that a policy is attached to in place of a selector."""

    group: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    section_name: str = ""


class Source(Shape, frozen=True):
    """Conjunction of its fields; each field is a disjunction."""

    principals: tuple[str, ...] = ()
    not_principals: tuple[str, ...] = ()
    request_principals: tuple[str, ...] = ()
    not_request_principals: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    not_namespaces: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()
    not_service_accounts: tuple[str, ...] = ()
    trust_domains: tuple[str, ...] = ()
    not_trust_domains: tuple[str, ...] = ()
    ip_blocks: tuple[str, ...] = ()
    not_ip_blocks: tuple[str, ...] = ()
    remote_ip_blocks: tuple[str, ...] = ()
    not_remote_ip_blocks: tuple[str, ...] = ()


class Operation(Shape, frozen=True):
    """Conjunction of its fields; ports are decimal strings."""

    hosts: tuple[str, ...] = ()
    not_hosts: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    not_ports: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    not_methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    not_paths: tuple[str, ...] = ()


class From(Shape, frozen=True):
    """One entry of a rule's `from`."""

    source: Source | None = None


class To(Shape, frozen=True):
    """One entry of a rule's `to`."""

    operation: Operation | None = None


class Condition(Shape, frozen=True):
    """One entry of a rule's `when`."""

    key: str = ""
    values: tuple[str, ...] = ()
    not_values: tuple[str, ...] = ()


class AuthorizationRule(Shape, frozen=True):
    """(any `from_`) and (any `to`) and (every `when`); the empty rule matches everything."""

    from_: tuple[From, ...] = msgspec.field(default=(), name="from")
    to: tuple[To, ...] = ()
    when: tuple[Condition, ...] = ()


class ExtensionProvider(Shape, frozen=True):
    """Who decides for action CUSTOM."""

    name: str = ""


class AuthorizationPolicySpec(Shape, frozen=True):
    """`action` is ALLOW, DENY, AUDIT or CUSTOM."""

    selector: WorkloadSelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: tuple[PolicyTargetReference, ...] = ()
    rules: tuple[AuthorizationRule, ...] = ()
    action: str = "ALLOW"
    provider: ExtensionProvider | None = None


class AuthorizationPolicy(Object, frozen=True):
    """Who may do what to a workload."""

    spec: AuthorizationPolicySpec = AuthorizationPolicySpec()
    status: Any = None


class MutualTLS(Shape, frozen=True):
    """`mode` is UNSET, DISABLE, PERMISSIVE or STRICT."""

    mode: str = "UNSET"


class PeerAuthenticationSpec(Shape, frozen=True):
    """`port_level_mtls` is keyed by the workload's port, in decimal."""

    selector: WorkloadSelector | None = None
    mtls: MutualTLS | None = None
    port_level_mtls: dict[str, MutualTLS] = msgspec.field(default_factory=dict)


class PeerAuthentication(Object, frozen=True):
    """What connections a workload accepts."""

    spec: PeerAuthenticationSpec = PeerAuthenticationSpec()
    status: Any = None


class JWTHeader(Shape, frozen=True):
    """A header that carries a token, after `prefix`."""

    name: str = ""
    prefix: str = ""


class ClaimToHeader(Shape, frozen=True):
    """A claim handed to the application in a header."""

    header: str = ""
    claim: str = ""


class JWTRule(Shape, frozen=True):
    """One issuer."""

    issuer: str = ""
    audiences: tuple[str, ...] = ()
    jwks_uri: str = ""
    jwks: str = ""
    from_headers: tuple[JWTHeader, ...] = ()
    from_params: tuple[str, ...] = ()
    from_cookies: tuple[str, ...] = ()
    output_payload_to_header: str = ""
    output_claim_to_headers: tuple[ClaimToHeader, ...] = ()
    forward_original_token: bool = False
    space_delimited_claims: tuple[str, ...] = ()
    timeout: str = ""
    presence: str = "OPTIONAL"


class RequestAuthenticationSpec(Shape, frozen=True):
    """JWTs that a workload verifies."""

    selector: WorkloadSelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: tuple[PolicyTargetReference, ...] = ()
    jwt_rules: tuple[JWTRule, ...] = ()


class RequestAuthentication(Object, frozen=True):
    """Which JWTs a workload takes, and from where."""

    spec: RequestAuthenticationSpec = RequestAuthenticationSpec()
    status: Any = None
