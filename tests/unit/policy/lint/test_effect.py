from __future__ import annotations

from tsujiban.policy.lint import effect
from tsujiban.policy.lint.effect import Effects
from tsujiban.policy.lint.subject import Subject
from tsujiban.resources.load import read

PODS = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {serviceAccountName: web, containers: [{name: main}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: shop, labels: {app: api}}
spec: {serviceAccountName: api, containers: [{name: main}]}
"""


def policy(name: str, order: int, *rules: str, kind: str = "NetworkPolicy", more: str = "") -> str:
    lines = "".join(f"    - {rule}\n" for rule in rules)
    return f"""\
---
apiVersion: projectcalico.org/v3
kind: {kind}
metadata: {{name: {name}{"" if "Global" in kind else ", namespace: shop"}}}
spec:
  order: {order}
  selector: app == 'web'
  types: [Ingress]
{more}  ingress:
{lines}"""


def subject(*policies: str) -> Subject:
    loaded = read([("a.yaml", "".join((PODS, *policies)).encode())], offline=True)
    assert loaded.ok, loaded.findings
    return Subject(loaded.objects, "cluster.local")


def test_a_rule_is_shadowed_by_a_policy_before_its_own() -> None:
    effects = Effects(
        subject(
            policy("first", 1, "{action: Allow, protocol: TCP}"),
            policy("second", 2, "{action: Deny, protocol: TCP, destination: {ports: [80]}}"),
        )
    )
    assert effects.shadowed == {"shop/second/ingress/0": frozenset(("shop/first/ingress/0",))}


def test_two_rules_together_shadow_a_third() -> None:
    effects = Effects(
        subject(
            policy(
                "web",
                1,
                "{action: Allow, protocol: TCP, destination: {ports: ['1:1000']}}",
                "{action: Deny, protocol: TCP, destination: {ports: ['1001:65535']}}",
                "{action: Allow, protocol: TCP, destination: {ports: ['900:1100']}}",
            )
        )
    )
    assert effects.shadowed == {"shop/web/ingress/2": frozenset(("shop/web/ingress/0", "shop/web/ingress/1"))}


def test_one_port_left_over_is_enough_not_to_be_shadowed() -> None:
    effects = Effects(
        subject(
            policy(
                "web",
                1,
                "{action: Allow, protocol: TCP, destination: {ports: ['1:7999', '8001:65535']}}",
                "{action: Deny, protocol: TCP, destination: {ports: ['7000:9000']}}",
            )
        )
    )
    assert effects.shadowed == {}


def test_a_log_rule_shadows_nothing() -> None:
    effects = Effects(
        subject(policy("web", 1, "{action: Log}", "{action: Allow, source: {selector: app == 'api'}}"))
    )
    assert effects.shadowed == {}


def test_staged_policies_neither_shadow_nor_are_shadowed() -> None:
    staged = policy("staged", 0, "{action: Allow}", kind="StagedNetworkPolicy")
    effects = Effects(subject(staged, policy("web", 1, "{action: Allow, protocol: TCP}", "{action: Deny}")))
    assert (effects.shadowed, effects.redundant, effects.vain) == ({}, (), {})


def test_a_rule_for_one_method_does_not_shadow_a_rule_for_another() -> None:
    def get(method: str) -> str:
        return (
            f"{{action: Allow, protocol: TCP, destination: {{ports: [80]}}, http: {{methods: [{method}]}}}}"
        )

    effects = Effects(subject(policy("web", 1, get("GET"), get("POST"), get("GET"))))
    assert set(effects.shadowed) == {"shop/web/ingress/2"}


def test_an_identity_and_a_label_of_one_peer_are_the_same_traffic() -> None:
    effects = Effects(
        subject(
            policy(
                "web",
                1,
                "{action: Allow, protocol: TCP, source: {serviceAccounts: {names: [api]}}}",
                "{action: Allow, protocol: TCP, source: {selector: app == 'api'}}",
            )
        )
    )
    assert set(effects.shadowed) == {"shop/web/ingress/1"}


def test_a_policy_that_only_closes_is_not_redundant() -> None:
    effects = Effects(
        subject(policy("allow", 1, "{action: Allow, protocol: TCP}"), policy("close", 2, "{action: Deny}"))
    )
    assert (effects.redundant, effects.vain) == ((), {})


def test_of_policies_that_repeat_each_other_one_stays() -> None:
    api = "{action: Allow, protocol: TCP, source: {selector: app == 'api'}}"
    all_tcp = "{action: Allow, protocol: TCP}"
    effects = Effects(subject(policy("a", 1, api), policy("b", 2, all_tcp), policy("c", 0, api)))
    assert effects.shadowed.keys() == {"shop/a/ingress/0"}
    assert effects.redundant == ("shop/c",)


def test_the_finding_says_which_rule_takes_the_traffic_and_where() -> None:
    told = list(
        effect.check(
            subject(
                policy("first", 1, "{action: Allow, protocol: TCP}"),
                policy("second", 2, "{action: Deny, protocol: TCP}"),
            )
        )
    )
    assert [(one.code, one.line, one.object, one.field) for one in told] == [
        ("TSJ101", 33, "NetworkPolicy shop/second", "spec.ingress[0]")
    ]
    assert told[0].message == ("it can never match: shop/first/ingress/0 (a.yaml:23) takes all that it would")
