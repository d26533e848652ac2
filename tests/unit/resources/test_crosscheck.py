"""Objects that are wrong only together."""

from __future__ import annotations

import pytest

from tsujiban.resources import load
from tsujiban.resources.crosscheck import crosscheck
from tsujiban.resources.findings import Finding, errors

V3 = "apiVersion: projectcalico.org/v3\n"
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: bank, labels: {app: web}}
spec: {serviceAccountName: web, containers: [{name: a, image: host}]}
"""


def check(*documents: str, **kwargs: object) -> list[Finding]:
    loaded = load.read([("a.yaml", "---\n".join(documents).encode())])
    assert loaded.ok, [str(finding) for finding in loaded.findings]
    return crosscheck(loaded.objects, **kwargs)  # type: ignore[arg-type]


def codes(found: list[Finding]) -> list[tuple[str, str, int]]:
    return [(finding.code, finding.field, finding.line) for finding in found]


def policy(spec: str, kind: str = "NetworkPolicy", name: str = "p") -> str:
    where = ", namespace: bank" if kind == "NetworkPolicy" else ""
    return f"{V3}kind: {kind}\nmetadata: {{name: {name}{where}}}\nspec: {spec}\n"


def admin(name: str, priority: int) -> str:
    head = "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\n"
    return (
        f"{head}metadata: {{name: {name}}}\nspec: {{priority: {priority}, subject: {{namespaces: {{}}}}}}\n"
    )


def test_doubles() -> None:
    found = check(policy("{}"), policy("{order: 5}"))
    assert codes(found) == [("duplicate-object", "metadata.name", 8)]
    assert errors(found) == found
    assert found[0].message == "it is already defined in a.yaml:1"
    assert check(policy("{}"), policy("{}", name="q")) == []


def test_the_default_namespace_is_a_namespace() -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a%s}\n"
    assert codes(check(text % "", text % ", namespace: default"))[0][0] == "duplicate-object"


def test_one_priority_twice() -> None:
    found = check(admin("a", 5), admin("b", 5), admin("c", 6))
    assert codes(found) == [("same-priority", "spec.priority", 9)]
    assert errors(found) == found


def test_a_tier_that_does_not_exist_is_an_error() -> None:
    found = check(policy("{tier: securty}"), tiers=("security",))
    assert codes(found) == [("no-such-tier", "spec.tier", 4)]
    assert found[0].hint == "did you mean 'security'?"
    assert errors(found) == found


def test_errors_are_found_among_broken_objects_too() -> None:
    nameless = policy("{order: x}").replace("name: p", "name: ''")
    text = "---\n".join([policy("{tier: securty, selector: a b}"), nameless, nameless])
    loaded = load.read([("a.yaml", text.encode())])
    assert loaded.objects == []
    assert codes(crosscheck(loaded.broken, warnings=False)) == [("no-such-tier", "spec.tier", 4)]


def test_a_tier_may_be_beside_or_built_in_or_known_by_name() -> None:
    tier = f"{V3}kind: Tier\nmetadata: {{name: security}}\nspec: {{order: 1}}\n"
    one = policy("{tier: security}")
    assert check(one, tier) == []
    assert check(one, tiers=("security",)) == []
    assert check(one, beside=load.read([("t", tier.encode())]).objects) == []
    assert check(policy("{tier: kube-admin}")) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("{selector: app == 'web'}", []),
        ("{selector: app == 'wbe'}", [("selects-nothing", "spec.selector")]),
        ("{serviceAccountSelector: role == 'x'}", [("selects-nothing", "spec.selector")]),
        (
            "{ingress: [{action: Allow, source: {selector: app == 'x'}}]}",
            [("selects-nothing", "spec.ingress[0].source.selector")],
        ),
        (
            "{ingress: [{action: Allow, source: {namespaceSelector: a == 'x'}}]}",
            [("selects-nothing", "spec.ingress[0].source.namespaceSelector")],
        ),
        (
            "{ingress: [{action: Allow, source: {namespaceSelector: projectcalico.org/name == 'bank'}}]}",
            [],
        ),
        (
            "{ingress: [{action: Allow, source: {serviceAccounts: {names: [web, nobody]}}}]}",
            [("no-such-service-account", "spec.ingress[0].source.serviceAccounts.names[1]")],
        ),
        (
            "{egress: [{action: Allow, destination: {services: {name: db}}}]}",
            [("no-such-service", "spec.egress[0].destination.services")],
        ),
        (
            "{ingress: [{action: Deny}, {action: Allow, protocol: TCP}]}",
            [("never-matches", "spec.ingress[1]")],
        ),
    ],
)
def test_warnings(spec: str, expected: list[tuple[str, str]]) -> None:
    found = check(policy(spec), POD)
    assert [(finding.code, finding.field) for finding in found] == expected
    assert errors(found) == []
    assert check(policy(spec), POD, warnings=False) == []


def test_nothing_is_idle_where_there_is_nothing_to_select() -> None:
    assert check(policy("{selector: app == 'web'}")) == []
    beside = load.read([("pod", POD.encode())]).objects
    assert codes(check(policy("{selector: app == 'x'}"), beside=beside)) == [
        ("selects-nothing", "spec.selector", 4)
    ]


def test_a_profile_that_does_not_exist() -> None:
    text = policy("{node: n, interfaceName: '*', profiles: [kns.bank, other]}", "HostEndpoint")
    assert codes(check(text)) == [("no-such-profile", "spec.profiles[1]", 4)]


def test_other_dialects() -> None:
    kubernetes = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: k, namespace: bank}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from:
    - podSelector: {matchLabels: {app: web}}
    - namespaceSelector: {matchLabels: {env: prod}}
"""
    cluster = """\
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: c}
spec:
  tier: Admin
  priority: 1
  subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}}
  egress:
  - {action: Deny, to: [{namespaces: {matchLabels: {kubernetes.io/metadata.name: shop}}}]}
  - {action: Accept, to: [{networks: [0.0.0.0/0]}]}
"""
    istio = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: i, namespace: %s}
spec: {selector: {matchLabels: {app: web}}, rules: [{}]}
"""
    found = check(POD, kubernetes, cluster, istio % "shop", istio % "bank", istio % "istio-system")
    assert [(finding.object, finding.field) for finding in found] == [
        ("NetworkPolicy bank/k", "spec.podSelector"),
        ("NetworkPolicy bank/k", "spec.ingress[0].from[1]"),
        ("ClusterNetworkPolicy c", "spec.egress[0].to[0]"),
        ("AuthorizationPolicy shop/i", "spec.selector"),
    ]
    assert {finding.code for finding in found} == {"selects-nothing"}
