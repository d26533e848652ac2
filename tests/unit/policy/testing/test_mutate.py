from __future__ import annotations

from tsujiban.policy.program import Action
from tsujiban.policy.testing.mutate import Mutant
from tsujiban.policy.testing.run import Report, run_tests
from tsujiban.resources.load import read

PODS = """\
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {serviceAccountName: web, containers: [{name: main}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, labels: {app: db}}
spec: {serviceAccountName: db, containers: [{name: main}]}
"""
POLICY = """\
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: db, namespace: default}
spec:
  selector: app == 'db'
  types: [Ingress]
  ingress:
    - action: Allow
      protocol: TCP
      source: {selector: app == 'web'}
      destination: {ports: [5432]}
    - action: Deny
      protocol: TCP
      destination: {ports: [5432]}
    - action: Log
    - action: Deny
"""
CLOSED = """\
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: default}
spec: {podSelector: {}, policyTypes: [Ingress]}
"""
AUTHORIZATION = """\
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: get, namespace: default}
spec:
  selector: {matchLabels: {app: db}}
  rules:
    - to: [{operation: {methods: [GET]}}]
    - to: [{operation: {methods: [HEAD]}}]
"""


def run(policies: str, *cases: str) -> Report:
    text = "apiVersion: tsujiban.io/v1\nkind: PolicyTest\ncases:\n" + "".join(f"  - {c}\n" for c in cases)
    objects = read([("w.yaml", (PODS + policies).encode())], offline=True).objects
    return run_tests({"a_test.yaml": text.encode()}, objects, mutate=True)


def fates(report: Report) -> dict[tuple[str, str], str]:
    def fate(mutant: Mutant) -> str:
        return "killed" if mutant.killed else "equivalent" if mutant.equivalent else "survived"

    return {(m.rule.rpartition(":")[2].removeprefix("default/"), m.change): fate(m) for m in report.mutants}


def test_each_rule_is_removed_and_turned_and_logs_are_left_alone() -> None:
    report = run(
        POLICY,
        "{name: in, from: web, to: db, port: 5432, expect: allow}",
        "{name: out, from: 198.51.100.1, to: db, port: 5432, expect: deny}",
    )
    assert fates(report) == {
        ("db/ingress/0", "remove"): "killed",
        ("db/ingress/0", "allow to deny"): "killed",
        ("db/ingress/1", "remove"): "equivalent",
        ("db/ingress/1", "deny to allow"): "survived",  # only the mesh would refuse: not proven the same
        ("db/ingress/3", "remove"): "equivalent",
        ("db/ingress/3", "deny to allow"): "survived",
    }
    assert report.score == 2 / 4
    assert {m.killer for m in report.mutants if m.killed} == {"in"}
    assert {(m.file, m.line) for m in report.mutants if m.rule.endswith("/0")} == {("w.yaml", 18)}


def test_a_survivor_has_a_flow_that_would_notice() -> None:
    report = run(POLICY, "{from: web, to: db, port: 80, expect: deny}")
    survivor = next(m for m in report.mutants if (m.rule, m.change) == ("default/db/ingress/0", "remove"))
    assert survivor.witness is not None
    assert (survivor.witness.source, survivor.witness.port, survivor.witness.protocol) == (
        "@default/web",
        5432,
        6,
    )
    assert (survivor.before, survivor.after) == (Action.ALLOW, Action.DENY)
    case = "{from: web, to: db, port: 5432, expect: allow}"
    assert fates(run(POLICY, case))[("db/ingress/0", "remove")] == "killed"


def test_a_policy_that_closes_without_rules_is_taken_away_whole() -> None:
    assert fates(run(CLOSED, "{from: web, to: db, port: 80, expect: deny}")) == {
        ("closed", "remove the policy"): "killed"
    }
    report = run(CLOSED, "{from: db, to: 198.51.100.1, port: 80, expect: allow}")
    assert fates(report) == {("closed", "remove the policy"): "survived"}
    assert report.mutants[0].witness is not None


def test_authorization_rules_are_removed_and_the_action_turned() -> None:
    case = "{from: web, to: db, port: 80, method: GET, path: /, expect: allow}"
    assert fates(run(AUTHORIZATION, case)) == {
        ("get/0", "remove"): "killed",
        ("get/1", "remove"): "survived",
        ("get", "allow to deny"): "killed",
    }


def test_a_change_in_the_mesh_that_no_case_noticed_has_a_witness() -> None:
    report = run(AUTHORIZATION, "{from: web, to: db, port: 80, method: GET, path: /, expect: allow}")
    (survived,) = [mutant for mutant in report.mutants if not mutant.killed]
    assert (survived.before, survived.after) == ("allow", "deny")
    assert survived.witness is not None
    assert survived.witness.destination_endpoint == "default/db"
    assert survived.witness.http is not None
    assert survived.witness.http.method != "GET"


def test_a_change_in_the_mesh_that_changes_nothing_is_equivalent() -> None:
    double = AUTHORIZATION.replace("name: get", "name: same")
    fates_of = fates(run(AUTHORIZATION + double, "{from: web, to: db, port: 80, expect: deny}"))
    assert fates_of[("get/0", "remove")] == fates_of[("same/0", "remove")] == "equivalent"


def test_a_rule_that_a_case_asks_for_by_name_is_noticed() -> None:
    case = "{from: web, to: db, port: 80, expect: deny, rule: default/db/ingress/3}"
    assert fates(run(POLICY, case))[("db/ingress/3", "remove")] == "killed"


def test_policies_that_select_nothing_and_staged_ones_do_not_count() -> None:
    idle = POLICY.replace("app == 'db'", "app == 'none'")
    staged = POLICY.replace("kind: NetworkPolicy", "kind: StagedNetworkPolicy").replace("name: db", "name: s")
    report = run(idle + staged, "{from: web, to: db, port: 80, expect: allow}")
    assert set(fates(report).values()) == {"equivalent"}
    assert not any("staged" in mutant.rule for mutant in report.mutants)
    assert report.score == 1


def test_only_cases_that_pass_can_notice() -> None:
    report = run(POLICY, "{from: web, to: db, port: 5432, expect: deny}")
    assert not any(mutant.killed for mutant in report.mutants)


FORWARDING = """\
---
apiVersion: v1
kind: Pod
metadata: {name: far}
spec: {nodeName: n1, containers: [{name: main}]}
---
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: h, labels: {host: "yes"}}
spec: {node: n1, interfaceName: eth0, expectedIPs: [172.16.0.1]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: quick}
spec:
  selector: has(host)
  applyOnForward: true
  doNotTrack: true
  types: [Ingress]
  ingress: [{action: Deny, protocol: TCP}]
"""


def test_what_a_host_forwards_is_judged_by_its_policies_too() -> None:
    report = run(FORWARDING, "{name: through, from: web, to: far, port: 80, expect: deny}")
    assert fates(report)["_global/quick/ingress/0", "remove"] == "killed"


def test_a_policy_on_what_a_host_forwards_is_not_said_to_change_nothing() -> None:
    """To the host itself nothing gets anyhow; through it, the rule decides."""
    report = run(FORWARDING, "{name: other, from: web, to: db, port: 80, expect: allow}")
    assert fates(report)["_global/quick/ingress/0", "remove"] == "survived"
