from __future__ import annotations

from tsujiban.policy.lint.habits import default_accounts, empty_tiers, undeclared_ports, without_proxy
from tsujiban.policy.lint.subject import Subject
from tsujiban.resources.load import read

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: shop, labels: {app: web%s}}
spec: {containers: [{name: main, ports: [%s]}]}
---
"""
AUTHORIZATION = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: shop}
spec:
  action: %s
  rules:
    - from: [{source: {principals: [%s]}}]
      to: [{operation: {ports: ["%s"]}}]
"""
CALICO = """\
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: p, namespace: shop}
spec:
  selector: app == 'web'
  types: [Ingress]
  ingress: [{action: %s, protocol: TCP, destination: {ports: [%s]}}]
"""


def subject(text: str) -> Subject:
    loaded = read([("a.yaml", text.encode())], offline=True)
    assert loaded.ok, loaded.findings
    return Subject(loaded.objects, "cluster.local")


def missing(text: str) -> list[str]:
    given = subject(text)
    return [one.message for one in undeclared_ports(given, given.selected())]


def test_principals_of_the_default_account() -> None:
    default = "cluster.local/ns/shop/sa/default"
    (one,) = default_accounts(subject(AUTHORIZATION % ("ALLOW", default, 80)))
    assert (one.field, one.line) == ("spec.rules[0]", 7)
    assert list(default_accounts(subject(AUTHORIZATION % ("DENY", default, 80)))) == []
    other = AUTHORIZATION % ("ALLOW", "cluster.local/ns/shop/sa/not-default", 80)
    assert list(default_accounts(subject(other))) == []


def test_ports_that_no_container_declares() -> None:
    web = POD % ("web", "", "{containerPort: 8080}, {containerPort: 53, protocol: UDP}")
    assert missing(web + CALICO % ("Allow", "80, 8080, 53")) == [
        "no container that it selects declares port 53, 80; declared: 53, 8080"
    ]
    assert missing(web + CALICO % ("Allow", "'80:90'")) == []
    assert missing(web + CALICO % ("Deny", "80")) == []
    principal = "cluster.local/ns/shop/sa/a"
    assert len(missing(web + AUTHORIZATION % ("ALLOW", principal, 80))) == 1
    assert missing(web + AUTHORIZATION % ("ALLOW", principal, 8080)) == []


def test_a_workload_that_declares_no_port_may_listen_anywhere() -> None:
    pods = POD % ("web", "", "{containerPort: 8080}") + POD % ("old", "", "")
    assert missing(pods + CALICO % ("Allow", "80")) == []


def test_mesh_policies_on_plain_workloads() -> None:
    plain = POD % ("web", ", tsujiban.io/mesh: none", "") + POD % ("also", ", tsujiban.io/mesh: none", "")
    given = subject(plain + AUTHORIZATION % ("ALLOW", "a/ns/b/sa/c", 80))
    (one,) = without_proxy(given, given.selected())
    assert one.message == "an AuthorizationPolicy says nothing at shop/also and 1 more, which has no proxy"
    meshed = subject(POD % ("web", "", "") + AUTHORIZATION % ("ALLOW", "a/ns/b/sa/c", 80))
    assert list(without_proxy(meshed, meshed.selected())) == []


def test_tiers_that_always_exist_may_be_empty() -> None:
    tier = "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: %s}\nspec: {order: %s}\n"
    assert [one.object for one in empty_tiers(subject(tier % ("mine", 1)))] == ["Tier mine"]
    assert list(empty_tiers(subject(tier % ("default", 1000000)))) == []


def test_a_policy_of_a_whole_namespace_may_meet_a_plain_workload() -> None:
    plain = POD % ("old", ", tsujiban.io/mesh: none", "")
    general = AUTHORIZATION % ("ALLOW", "a/ns/b/sa/c", 80)
    mixed = subject(plain + POD % ("web", "", "") + general)
    assert list(without_proxy(mixed, mixed.selected())) == []
    chosen = general.replace("spec:\n", "spec:\n  selector: {matchLabels: {app: web}}\n")
    given = subject(plain + POD % ("web", "", "") + chosen)
    assert len(list(without_proxy(given, given.selected()))) == 1
