from __future__ import annotations

from tsujiban.policy.lint.exposure import namespaces, unprotected, wide_open
from tsujiban.policy.lint.subject import Subject
from tsujiban.resources.load import read

PLACE = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main}]}
---
"""


def subject(text: str) -> Subject:
    loaded = read([("a.yaml", (PLACE + text).encode())], offline=True)
    assert loaded.ok, loaded.findings
    return Subject(loaded.objects, "cluster.local")


def calico(kind: str, spec: str) -> str:
    place = "" if "Global" in kind else ", namespace: shop"
    return (
        f"---\napiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata: {{name: p{place}}}\nspec: {spec}\n"
    )


def authorization(spec: str) -> str:
    head = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
    return f"{head}metadata: {{name: p, namespace: shop}}\nspec: {spec}\n"


def test_a_workload_is_named_by_what_the_user_wrote() -> None:
    assert [one.object for one in unprotected(subject(""))] == ["Deployment shop/web"]


def test_an_authorization_policy_guards_a_staged_policy_does_not() -> None:
    guarded = authorization("{rules: [{from: [{source: {namespaces: [shop]}}]}]}")
    assert list(unprotected(subject(guarded))) == []
    staged = calico("StagedNetworkPolicy", "{selector: all(), types: [Ingress]}")
    assert len(list(unprotected(subject(staged)))) == 1


def opened(rule: str, direction: str = "ingress") -> bool:
    spec = f"{{selector: all(), types: [{direction.capitalize()}], {direction}: [{rule}]}}"
    return bool(list(wide_open(subject(calico("NetworkPolicy", spec)))))


def test_what_is_wide_open() -> None:
    assert opened("{action: Allow}")
    assert opened("{action: Allow, protocol: TCP}")
    assert opened("{action: Allow, source: {nets: [10.0.0.0/8, 0.0.0.0/0]}}")
    assert opened("{action: Allow, protocol: TCP, destination: {ports: ['1:65535']}}")
    assert opened("{action: Allow, destination: {nets: ['::/0']}}", "egress")
    assert list(wide_open(subject(authorization("{rules: [{}]}"))))


def test_what_is_not() -> None:
    assert not opened("{action: Deny}")
    assert not opened("{action: Pass}")
    assert not opened("{action: Allow, protocol: ICMP}")
    assert not opened("{action: Allow, source: {nets: [10.0.0.0/8]}}")
    assert not opened("{action: Allow, source: {selector: app == 'web'}}")
    assert not opened("{action: Allow, protocol: TCP, destination: {ports: [443]}}")
    assert not opened("{action: Allow, protocol: TCP, http: {methods: [GET]}}")
    assert not list(wide_open(subject(authorization("{action: DENY, rules: [{}]}"))))


def closed(text: str) -> list[str]:
    return [one.code for one in namespaces(subject(text))]


def test_a_namespace_is_open_until_a_policy_is_on_everything_in_it() -> None:
    assert closed("") == ["TSJ107", "TSJ108"]
    some = "{selector: app == 'web', types: [Ingress, Egress]}"
    assert closed(calico("NetworkPolicy", some)) == ["TSJ107", "TSJ108"]
    assert closed(calico("NetworkPolicy", "{selector: all(), types: [Ingress]}")) == ["TSJ108"]
    assert closed(calico("GlobalNetworkPolicy", "{types: [Ingress, Egress]}")) == []


def test_a_policy_that_passes_on_to_the_profile_closes_nothing() -> None:
    tier = "---\napiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: t}\nspec: {order: 1}\n"
    passing = calico(
        "GlobalNetworkPolicy",
        "{tier: t, types: [Ingress], ingress: [{action: Deny, protocol: UDP}, {action: Pass}]}",
    ).replace("name: p", "name: t.p")
    assert closed(tier + passing) == ["TSJ107", "TSJ108"]


def test_the_world_is_left_as_it_was() -> None:
    given = subject("")
    list(namespaces(given))
    assert set(given.offline.graph.endpoints) == {"shop/web"}
