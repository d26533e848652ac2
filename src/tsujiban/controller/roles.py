"""The ClusterRoles and bindings that every cluster starts with, those of Kubernetes with our kinds in them.

Reconciled at every start as Kubernetes does: what is missing is added to them, what a user added
stays, and an object whose annotation `rbac.authorization.kubernetes.io/autoupdate` is `false` is left alone.
Source: Kubernetes documentation, "Using RBAC Authorization", "Default roles and role bindings".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tsujiban.controller.api import tiers
from tsujiban.controller.reconcile import aggregation
from tsujiban.controller.reconcile.actions import Update
from tsujiban.controller.world import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, Json, Ref, World
from tsujiban.resources.registry import KINDS, Kind

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
BOOTSTRAPPING = "kubernetes.io/bootstrapping"
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
_RBAC = "rbac.authorization.k8s.io"
_LEVELS = ("admin", "edit", "view")  # each holds the next

READ = ("get", "list", "watch")
WRITE = ("create", "delete", "deletecollection", "patch", "update")
_POLICY_MODULES = frozenset({"calico", "cnp", "istio", "netpol"})
# what `edit` and `view` do not hold in a namespace: rights, credentials, and the objects of machines
_RIGHTS = frozenset({"roles", "rolebindings"})
_MACHINES = frozenset({"workloadendpoints", "leases", "controllerrevisions"})
# who writes where a service leads sends others' clients wherever they like, past the policy of namespaces
_LEADS = frozenset({"endpoints", "endpointslices"})
_NOT_FOR_EDIT = frozenset({"events"}) | _LEADS | _RIGHTS | _MACHINES
_NOT_FOR_VIEW = frozenset({"secrets"}) | _RIGHTS

_SCALED = ("deployments/scale", "replicasets/scale", "statefulsets/scale")
_STATUS = ("daemonsets/status", "deployments/status", "replicasets/status", "statefulsets/status")


def objects() -> list[tuple[Ref, Json]]:
    """All of them, roles first; what aggregated roles hold is in them from the beginning."""
    world = World()
    for role in _roles():
        world.put(Ref(*CLUSTER_ROLES, "", role["metadata"]["name"]), role)
    for _ in _LEVELS:
        for ref in aggregation.aggregated(world):
            for action in aggregation.plan(world, ref):
                if isinstance(action, Update):
                    world.put(ref, action.obj)
    bindings = ((Ref(*CLUSTER_ROLE_BINDINGS, "", made["metadata"]["name"]), made) for made in _bindings())
    return [*world.all(CLUSTER_ROLES), *bindings]


def reconciled(current: Json, wanted: Json) -> Json | None:
    """`current` with what of `wanted` it lacks; None when nothing is to be written."""
    annotations = (current["metadata"].get("annotations") or {}) if current.get("metadata") else {}
    if annotations.get(AUTOUPDATE) == "false":
        return None
    result = {**current, "metadata": {**current["metadata"]}}
    for field in ("labels", "annotations"):
        given = wanted["metadata"].get(field, {})
        if given:
            result["metadata"][field] = {**given, **(current["metadata"].get(field) or {})}
    if "aggregationRule" in wanted:
        result["aggregationRule"] = wanted["aggregationRule"]
    elif "rules" in wanted:
        result["rules"] = aggregation.union([*current.get("rules", ()), *wanted["rules"]])
    if "subjects" in wanted:
        present = list(current.get("subjects", ()))
        result["subjects"] = present + [one for one in wanted["subjects"] if one not in present]
    return None if result == current else result


def _roles() -> Iterable[Json]:
    yield _role("cluster-admin", [_rule("*", "*", "*"), _urls(("*",), "*")])
    for name in _LEVELS:
        labels = {"edit": {f"{_AGGREGATE}admin": "true"}, "view": {f"{_AGGREGATE}edit": "true"}}.get(name, {})
        yield _role(name, [], labels=labels, aggregates=[{f"{_AGGREGATE}{name}": "true"}])
    yield _role("system:aggregate-to-admin", _admin(), labels={f"{_AGGREGATE}admin": "true"})
    yield _role("system:aggregate-to-edit", _edit(), labels={f"{_AGGREGATE}edit": "true"})
    yield _role("system:aggregate-to-view", _view(), labels={f"{_AGGREGATE}view": "true"})
    yield _role("system:discovery", [_urls(("get",), *_DISCOVERY)])
    yield _role("system:public-info-viewer", [_urls(("get",), *_PUBLIC)])
    yield _role("system:basic-user", _basic())
    yield _role("system:monitoring", [_urls(("get",), *_HEALTH, "/metrics")])
    yield _role(
        "system:auth-delegator",
        [
            _rule("create", "authentication.k8s.io", "tokenreviews"),
            _rule("create", "authorization.k8s.io", "subjectaccessreviews"),
        ],
    )
    issuer = [_urls(("get",), "/.well-known/openid-configuration", "/openid/v1/jwks")]
    yield _role("system:service-account-issuer-discovery", issuer)
    yield _role("system:node", _node())
    for role, signer, verb in (
        ("kube-apiserver-client-approver", "kubernetes.io/kube-apiserver-client", "approve"),
        ("legacy-unknown-approver", "kubernetes.io/legacy-unknown", "approve"),
    ):
        rule = _rule(verb, "certificates.k8s.io", "signers") | {"resourceNames": [signer]}
        yield _role(f"system:certificates.k8s.io:{role}", [rule])
    # each object of a set is authorized by itself
    yield _role("tsujiban:apply", [_urls(("apply",), "/tsujiban/v1/apply")])
    yield _role("tsujiban:observer", [_urls(("get",), "/tsujiban/v1/status", "/tsujiban/v1/flows")])
    yield _role("tsujiban:network-admin", _network_admin())


_HEALTH = tuple(f"/{path}{checks}" for path in ("healthz", "livez", "readyz") for checks in ("", "/*"))
_PUBLIC = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY = (
    *("/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*"),
    *("/readyz", "/version", "/version/"),
)


def _admin() -> list[Json]:
    return [
        _rule("create", "authorization.k8s.io", "localsubjectaccessreviews"),
        *_written(_RIGHTS, READ + WRITE),
    ]


def _edit() -> list[Json]:
    kinds = [kind for kind in KINDS if kind.namespaced and kind.plural not in _NOT_FOR_EDIT]
    return [
        *_by_group(kinds, WRITE),
        _rule(READ, "", "secrets"),
        _rule("impersonate", "", "serviceaccounts"),
        _rule("create", "", "serviceaccounts/token"),
        _rule(("create", "get"), "", "pods/exec", "pods/portforward", "pods/attach"),
        _rule(("get", "patch", "update"), "apps", *_SCALED),
        _rule("create", "", "pods/eviction"),
    ]


def _view() -> list[Json]:
    namespaced = [kind for kind in KINDS if kind.namespaced and kind.plural not in _NOT_FOR_VIEW]
    # readable for who has the role everywhere; a RoleBinding reaches nothing that is in no namespace
    wide = [kind for kind in KINDS if not kind.namespaced and kind.module in _POLICY_MODULES]
    return [
        *_by_group([*namespaced, *wide], READ),
        _rule(READ, "", "pods/log", "pods/status", "namespaces", "services/status"),
        _rule(READ, "apps", *_STATUS, *_SCALED),
        _rule(READ, "batch", "cronjobs/status", "jobs/status"),
        _rule(READ, "policy", "poddisruptionbudgets/status"),
    ]


def _basic() -> list[Json]:
    return [
        _rule("create", "authorization.k8s.io", "selfsubjectaccessreviews", "selfsubjectrulesreviews"),
        _rule("create", "authentication.k8s.io", "selfsubjectreviews"),
    ]


def _network_admin() -> list[Json]:
    kinds = [kind for kind in KINDS if kind.module in _POLICY_MODULES]
    return [
        *_by_group(kinds, READ + WRITE),
        _rule(READ + WRITE, "projectcalico.org", *tiers.RESOURCES),
        _rule(READ, "", "namespaces", "serviceaccounts", "pods", "nodes"),
    ]


def _node() -> list[Json]:
    """What a node may at most. Of whose objects is the node authorizer's to say: it is bound to nobody."""
    return [
        _rule("create", "authentication.k8s.io", "tokenreviews"),
        _rule("create", "authorization.k8s.io", "subjectaccessreviews", "localsubjectaccessreviews"),
        _rule(READ, "", "services"),
        _rule(("create", *READ), "", "nodes"),
        _rule(("patch", "update"), "", "nodes/status", "nodes"),
        *(_rule(("create", "patch", "update"), group, "events") for group in ("", "events.k8s.io")),
        _rule(READ, "", "pods"),
        _rule(("create", "delete"), "", "pods"),
        _rule(("patch", "update"), "", "pods/status"),
        _rule(READ, "", "secrets", "configmaps"),
        _rule("get", "", "serviceaccounts"),
        _rule("create", "", "serviceaccounts/token"),
        _rule(("create", "delete", "get", "patch", "update"), "coordination.k8s.io", "leases"),
        _rule(READ, "discovery.k8s.io", "endpointslices"),
    ]


def _bindings() -> Iterable[Json]:
    yield _binding("cluster-admin", "system:masters")
    yield _binding("system:discovery", "system:authenticated")
    yield _binding("system:basic-user", "system:authenticated")
    yield _binding("system:public-info-viewer", "system:authenticated", "system:unauthenticated")
    yield _binding("system:monitoring", "system:monitoring")
    yield _binding("tsujiban:apply", "system:authenticated")
    yield _binding("system:service-account-issuer-discovery", "system:serviceaccounts")


def _by_group(kinds: Iterable[Kind], verbs: tuple[str, ...]) -> list[Json]:
    groups: dict[str, set[str]] = {}
    for kind in kinds:
        for version in kind.versions:  # a kind that is served in two groups is one object, reached by both
            groups.setdefault(version.rpartition("/")[0], set()).add(kind.plural)
    return [_rule(verbs, group, *sorted(groups[group])) for group in sorted(groups)]


def _written(plurals: Iterable[str], verbs: tuple[str, ...]) -> list[Json]:
    return [_rule(verbs, _RBAC, *sorted(plurals))]


def _rule(verbs: str | tuple[str, ...], group: str, *resources: str) -> dict[str, Any]:
    listed = [verbs] if isinstance(verbs, str) else sorted(verbs)
    return {"apiGroups": [group], "resources": list(resources), "verbs": listed}


def _urls(verbs: tuple[str, ...], *paths: str) -> Json:
    return {"nonResourceURLs": list(paths), "verbs": list(verbs)}


def _meta(name: str, labels: dict[str, str]) -> Json:
    return {
        "name": name,
        "labels": {BOOTSTRAPPING: "rbac-defaults", **labels},
        "annotations": {AUTOUPDATE: "true"},
    }


def _role(
    name: str, rules: list[Json], labels: dict[str, str] | None = None, aggregates: list[Json] | None = None
) -> Json:
    role: Json = {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": _meta(name, labels or {}),
        "rules": rules,
    }
    if aggregates:
        selectors = [{"matchLabels": labels} for labels in aggregates]
        role["aggregationRule"] = {"clusterRoleSelectors": selectors}
    return role


def _binding(role: str, *groups: str) -> Json:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": _meta(role, {}),
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": group} for group in groups],
    }
