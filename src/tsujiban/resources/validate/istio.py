"""security.istio.io: AuthorizationPolicy, PeerAuthentication, RequestAuthentication.

Istio refuses clauses that are present and empty: they look like "nobody" and would mean
"anybody". The typed object cannot tell empty from absent, so those checks read the raw one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tsujiban.resources import pathtemplate
from tsujiban.resources.kinds import istio
from tsujiban.resources.positions import Path
from tsujiban.resources.validate import names
from tsujiban.resources.validate.report import Report

ACTIONS = ("ALLOW", "DENY", "AUDIT", "CUSTOM")
MODES = ("UNSET", "DISABLE", "PERMISSIVE", "STRICT")
_PLAIN_KEYS = frozenset(
    (
        "source.ip",
        "remote.ip",
        "source.namespace",
        "source.principal",
        "source.serviceAccount",
        "source.trustDomain",
        "request.auth.principal",
        "request.auth.audiences",
        "request.auth.presenter",
        "destination.ip",
        "destination.port",
        "connection.sni",
    )
)
_IDENTITY_KEYS = (
    "source.namespace",
    "source.principal",
    "source.serviceAccount",
    "source.trustDomain",
    "request.auth.",
)
_NET_KEYS = frozenset(("source.ip", "remote.ip", "destination.ip"))
_MAP_KEY = re.compile(r"request\.(?:headers\[[^\[\]]+\]|auth\.claims(?:\[[^\[\]]+\])+)")
_MAY_BE_EMPTY = ("rules", "when")
_MOST_ACCOUNTS = 16
_LONGEST_ACCOUNT = 320
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))+")
_EXPERIMENTAL = re.compile(r"experimental\.envoy\.filters\.[^\[\]]+\[[^\[\]]+\]")
_JWKS_URI = re.compile(r"https?://[^/\s:]+(?::[0-9]{1,5})?(?:[/?#]\S*)?", re.IGNORECASE)
_TARGETS = frozenset(
    (
        ("", "Service"),
        ("core", "Service"),
        ("networking.istio.io", "ServiceEntry"),
        ("gateway.networking.k8s.io", "Gateway"),
        ("gateway.networking.k8s.io", "GatewayClass"),
    )
)
_CLAIM_HEADER = re.compile(r"[A-Za-z0-9_-]+")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _authorization(policy: istio.AuthorizationPolicy, raw: Mapping[str, Any], report: Report) -> None:
    spec = policy.spec
    _target(spec.selector, spec.target_ref, spec.target_refs, report)
    _dry_run(policy, report)
    report.one_of(("spec", "action"), spec.action, ACTIONS)
    if spec.action == "CUSTOM":
        if spec.provider is None or not spec.provider.name:
            report.error(("spec", "provider"), "missing-field", "action CUSTOM needs provider.name")
    elif spec.provider is not None:
        report.error(("spec", "provider"), "conflict", "a provider is allowed with action CUSTOM only")
    if not spec.rules and spec.action in ("DENY", "CUSTOM"):
        message = f"action {spec.action} without rules never takes effect"
        report.error(("spec", "rules"), "missing-field", message, "'- {}' is a rule for every request")
    _empty_lists(raw.get("spec"), ("spec",), report)
    for index, rule in enumerate(spec.rules):
        path: Path = ("spec", "rules", index)
        for at, clause in enumerate(rule.from_):
            _source(clause.source, (*path, "from", at, "source"), report)
        for at, target in enumerate(rule.to):
            _operation(target.operation, (*path, "to", at, "operation"), report)
        for at, condition in enumerate(rule.when):
            _condition(condition, (*path, "when", at), report)
        if spec.action == "CUSTOM":
            _custom(rule, path, report)


def _dry_run(policy: istio.AuthorizationPolicy, report: Report) -> None:
    value = policy.metadata.annotations.get(istio.DRY_RUN)
    if value is None:
        return
    path = ("metadata", "annotations", istio.DRY_RUN)
    if value not in istio.TRUE | istio.FALSE:
        report.error(path, "bad-value", f"{value[:64]!r} is neither true nor false")
    elif policy.spec.action not in ("ALLOW", "DENY"):
        report.error(path, "conflict", f"action {policy.spec.action} cannot be tried without effect")


def _custom(rule: istio.AuthorizationRule, path: Path, report: Report) -> None:
    """What the proxy must know before it asks the provider: addresses and the request, not who asks."""
    for at, clause in enumerate(rule.from_):
        for name, encoded in zip(
            istio.Source.__struct_fields__, istio.Source.__struct_encode_fields__, strict=True
        ):
            if "ip_blocks" not in name and getattr(clause.source, name, None):
                here = (*path, "from", at, "source", encoded)
                report.error(here, "not-allowed", f"{encoded} is not supported with action CUSTOM")
    for at, condition in enumerate(rule.when):
        if condition.key.startswith(_IDENTITY_KEYS):
            here = (*path, "when", at, "key")
            report.error(here, "not-allowed", f"{condition.key[:64]} is not supported with action CUSTOM")


def _empty_lists(value: Any, path: Path, report: Report) -> None:
    """Every list that is present and empty, and every empty string in a list."""
    if isinstance(value, dict):
        for key, item in value.items():
            here = (*path, key)
            if item == [] and key not in _MAY_BE_EMPTY:
                code = "empty" if key in ("from", "to") else "empty-list"
                report.error(here, code, f"{key} is empty", "leave it out, or name what is meant")
            _empty_lists(item, here, report)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if item == "":
                report.error((*path, index), "empty", "an empty string matches nothing")
            _empty_lists(item, (*path, index), report)


def _is_empty(clause: msgspec.Struct) -> bool:
    return not any(msgspec.structs.astuple(clause))


def _source(source: istio.Source | None, path: Path, report: Report) -> None:
    if source is None or _is_empty(source):
        report.error(path, "empty", "source sets nothing", "leave 'from' out for any source")
        return
    for field, nets in (
        ("ipBlocks", source.ip_blocks),
        ("notIpBlocks", source.not_ip_blocks),
        ("remoteIpBlocks", source.remote_ip_blocks),
        ("notRemoteIpBlocks", source.not_remote_ip_blocks),
    ):
        for index, text in enumerate(nets):
            report.network((*path, field, index), text)
    for field, values in (
        ("principals", source.principals),
        ("notPrincipals", source.not_principals),
        ("requestPrincipals", source.request_principals),
        ("notRequestPrincipals", source.not_request_principals),
        ("namespaces", source.namespaces),
        ("notNamespaces", source.not_namespaces),
        ("trustDomains", source.trust_domains),
        ("notTrustDomains", source.not_trust_domains),
    ):
        _strings(values, (*path, field), report)
    for field, values in (("namespaces", source.namespaces), ("notNamespaces", source.not_namespaces)):
        _inner_wildcards(values, (*path, field), report)
    for field, values in (
        ("trustDomains", source.trust_domains),
        ("notTrustDomains", source.not_trust_domains),
    ):
        _inner_wildcards(values, (*path, field), report)
        for index, value in enumerate(values):
            if "/" in value:
                report.error((*path, field, index), "bad-value", "a trust domain holds no '/'")
    for field, accounts in (
        ("serviceAccounts", source.service_accounts),
        ("notServiceAccounts", source.not_service_accounts),
    ):
        _accounts(accounts, (*path, field), report)
    if source.service_accounts or source.not_service_accounts:
        for field, others in (
            ("principals", source.principals),
            ("notPrincipals", source.not_principals),
            ("namespaces", source.namespaces),
            ("notNamespaces", source.not_namespaces),
        ):
            if others:
                report.error((*path, field), "conflict", f"{field} and service accounts exclude each other")


def _accounts(accounts: Sequence[str], path: Path, report: Report) -> None:
    report.at_most(path, accounts, _MOST_ACCOUNTS)
    for index, account in enumerate(accounts):
        namespace, slash, name = account.rpartition("/")
        good = names.is_subdomain(name) and (not slash or names.is_label(namespace))
        if account and (not good or len(account) > _LONGEST_ACCOUNT):
            message = f"{account[:64]!r} is not a service account"
            report.error(
                (*path, index), "bad-name", message, "write NAME or NAMESPACE/NAME, without wildcards"
            )


def _strings(values: Sequence[str], path: Path, report: Report) -> None:
    """Istio's forms: exact, `prefix*`, `*suffix`, `*`."""
    for index, value in enumerate(values):
        if "*" in value[1:-1] or (len(value) > 1 and value[0] == value[-1] == "*"):
            message = (
                f"'*' stands at the start or at the end of {value[:64]!r} only; elsewhere it is a plain '*'"
            )
            report.warning((*path, index), "wildcard", message)


def _inner_wildcards(values: Sequence[str], path: Path, report: Report) -> None:
    """Istio reads a wildcard anywhere here, which is not done: refused, or a DENY would be looser."""
    for index, value in enumerate(values):
        if "*" in value.removeprefix("*").removesuffix("*") or (
            len(value) > 1 and value[0] == value[-1] == "*"
        ):
            message = f"{value[:64]!r}: '*' is allowed at the start or at the end only"
            report.error((*path, index), "wildcard", message)


def _operation(operation: istio.Operation | None, path: Path, report: Report) -> None:
    if operation is None or _is_empty(operation):
        report.error(path, "empty", "operation sets nothing", "leave 'to' out for any operation")
        return
    for field, wanted in (("ports", operation.ports), ("notPorts", operation.not_ports)):
        for index, text in enumerate(wanted):
            _port(text, (*path, field, index), report)
    for field, values in (
        ("hosts", operation.hosts),
        ("notHosts", operation.not_hosts),
        ("methods", operation.methods),
        ("notMethods", operation.not_methods),
    ):
        _strings(values, (*path, field), report)
    for field, paths in (("paths", operation.paths), ("notPaths", operation.not_paths)):
        for index, text in enumerate(paths):
            _path(text, (*path, field, index), report)


def _path(text: str, path: Path, report: Report) -> None:
    if not pathtemplate.is_template(text):
        _strings((text,), path[:-1], report)
        return
    try:
        pathtemplate.pattern(text)
    except pathtemplate.TemplateError as error:
        report.error(path, "bad-path", str(error))


def _port(text: str, path: Path, report: Report) -> None:
    if not text.isascii() or not text.isdecimal() or len(text) > 5 or not 1 <= int(text) <= 65535:
        report.error(path, "bad-port", f"{text[:64]!r} is not a port from 1 to 65535")


def _condition(condition: istio.Condition, path: Path, report: Report) -> None:
    key = condition.key
    if not report.required((*path, "key"), key):
        return
    if _EXPERIMENTAL.fullmatch(key):
        message = "no Envoy filter fills this in: an ALLOW rule never matches, a DENY rule as if it held"
        report.warning((*path, "key"), "no-effect", message)
    elif key not in _PLAIN_KEYS and not _MAP_KEY.fullmatch(key):
        hint = (
            "request.headers[NAME]"
            if key.startswith("request.header")
            else "see Istio's authorization conditions"
        )
        report.error((*path, "key"), "bad-value", f"{key[:64]!r} is no attribute that can be matched", hint)
    if not condition.values and not condition.not_values:
        report.error((*path, "values"), "missing-field", "set values or notValues")
    for field, values in (("values", condition.values), ("notValues", condition.not_values)):
        for index, value in enumerate(values):
            here = (*path, field, index)
            if key in _NET_KEYS:
                report.network(here, value)
            elif key == "destination.port":
                _port(value, here, report)
        if key in ("source.namespace", "source.trustDomain"):
            _inner_wildcards(values, (*path, field), report)
        elif key not in _NET_KEYS:
            _strings(values, (*path, field), report)
        if key == "source.serviceAccount":
            _accounts(values, (*path, field), report)


def _target(
    selector: istio.WorkloadSelector | None,
    target: istio.PolicyTargetReference | None,
    targets: Sequence[istio.PolicyTargetReference],
    report: Report,
) -> None:
    _selector(selector, report)
    present = [
        name
        for name, value in (("selector", selector), ("targetRef", target), ("targetRefs", targets))
        if value not in (None, ())
    ]
    if len(present) > 1:
        report.error(("spec", present[1]), "conflict", f"{' and '.join(present)} exclude each other")
    if target is not None:
        _reference(target, ("spec", "targetRef"), report)
    for index, one in enumerate(targets):
        _reference(one, ("spec", "targetRefs", index), report)


def _reference(target: istio.PolicyTargetReference, path: Path, report: Report) -> None:
    report.required((*path, "name"), target.name)
    if target.namespace:
        report.error((*path, "namespace"), "not-allowed", "a target is in the policy's own namespace")
    if (target.group, target.kind) not in _TARGETS:
        message = f"{target.kind[:64] or 'no kind'} of group {target.group[:64]!r} cannot be a target"
        report.error(
            (*path, "kind"), "bad-value", message, "use Service, or Gateway of gateway.networking.k8s.io"
        )
    elif target.kind in ("ServiceEntry", "GatewayClass"):
        message = f"there are no workloads behind a {target.kind} here, so it has no effect"
        report.warning((*path, "kind"), "no-effect", message, "use a selector")


def _selector(selector: istio.WorkloadSelector | None, report: Report) -> None:
    if selector is None:
        return
    path = ("spec", "selector", "matchLabels")
    for key, value in selector.match_labels.items():
        if "*" in key or "*" in value:
            report.error((*path, key), "bad-label", "wildcards are not allowed in a selector")
            continue
        names.check_key(key, (*path, key), report)
        names.check_value(value, (*path, key), report)


def _peer(policy: istio.PeerAuthentication, raw: Mapping[str, Any], report: Report) -> None:
    spec = policy.spec
    _selector(spec.selector, report)
    if policy.metadata.namespace == istio.ROOT_NAMESPACE and spec.selector and spec.selector.match_labels:
        message = "a policy of the whole mesh has no selector: Istio leaves this one out"
        report.warning(("spec", "selector"), "no-effect", message, "put it in the workload's namespace")
    if spec.mtls is not None:
        report.one_of(("spec", "mtls", "mode"), spec.mtls.mode, MODES)
    written = raw.get("spec")
    if isinstance(written, dict) and written.get("portLevelMtls") == {}:
        report.error(("spec", "portLevelMtls"), "empty", "portLevelMtls is empty", "leave it out")
    for port, mtls in spec.port_level_mtls.items():
        _port(port, ("spec", "portLevelMtls", port), report)
        report.one_of(("spec", "portLevelMtls", port, "mode"), mtls.mode, MODES)
    if spec.port_level_mtls and (spec.selector is None or not spec.selector.match_labels):
        report.error(("spec", "portLevelMtls"), "conflict", "ports need a selector that names the workload")


def _request(policy: istio.RequestAuthentication, raw: Mapping[str, Any], report: Report) -> None:
    spec = policy.spec
    _target(spec.selector, spec.target_ref, spec.target_refs, report)
    if istio.DRY_RUN in policy.metadata.annotations:
        path = ("metadata", "annotations", istio.DRY_RUN)
        report.error(path, "not-allowed", "only an AuthorizationPolicy can be tried without effect")
    for index, rule in enumerate(spec.jwt_rules):
        _jwt(rule, ("spec", "jwtRules", index), report)


def _jwt(rule: istio.JWTRule, path: Path, report: Report) -> None:
    if not rule.jwks_uri:
        report.required((*path, "issuer"), rule.issuer)
    if rule.jwks and rule.jwks_uri:
        report.error((*path, "jwksUri"), "conflict", "jwks and jwksUri exclude each other")
    if rule.jwks_uri and not _JWKS_URI.fullmatch(rule.jwks_uri):
        report.error((*path, "jwksUri"), "bad-value", "not an http or https address")
    if rule.jwks:
        _jwks(rule.jwks, (*path, "jwks"), report)
    for index, audience in enumerate(rule.audiences):
        report.required((*path, "audiences", index), audience)
    for index, header in enumerate(rule.from_headers):
        here = (*path, "fromHeaders", index, "name")
        if report.required(here, header.name):
            _header(header.name, here, report)
    for index, claim in enumerate(rule.output_claim_to_headers):
        here = (*path, "outputClaimToHeaders", index)
        if report.required((*here, "header"), claim.header) and not _CLAIM_HEADER.fullmatch(claim.header):
            message = f"{claim.header[:64]!r} may hold letters, digits, '-' and '_' only"
            report.error((*here, "header"), "bad-value", message)
        report.required((*here, "claim"), claim.claim)
    report.one_of((*path, "presence"), rule.presence, ("OPTIONAL", "REQUIRED"))
    for field, words in (
        ("fromParams", rule.from_params),
        ("fromCookies", rule.from_cookies),
        ("spaceDelimitedClaims", rule.space_delimited_claims),
    ):
        for index, word in enumerate(words):
            report.required((*path, field, index), word)
    if rule.output_payload_to_header:
        _header(rule.output_payload_to_header, (*path, "outputPayloadToHeader"), report)
    if rule.timeout and not _DURATION.fullmatch(rule.timeout):
        report.error(
            (*path, "timeout"), "bad-value", f"{rule.timeout[:64]!r} is not a duration", "for example 5s"
        )


def _header(name: str, path: Path, report: Report) -> None:
    if not _HEADER.fullmatch(name):
        report.error(path, "bad-value", f"{name[:64]!r} cannot be the name of a header")


def _jwks(text: str, path: Path, report: Report) -> None:
    try:
        keys = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        report.error(path, "bad-value", "jwks is not JSON")
        return
    if not isinstance(keys, dict) or not isinstance(keys.get("keys"), list) or not keys["keys"]:
        report.error(path, "bad-value", "jwks holds no keys", 'write {"keys": [...]}')


CHECKS = {
    "AuthorizationPolicy": _authorization,
    "PeerAuthentication": _peer,
    "RequestAuthentication": _request,
}
