from __future__ import annotations

from tsujiban.policy.lint.mesh import check, covered
from tsujiban.policy.lint.subject import Subject
from tsujiban.resources.load import read

PODS = """\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: main}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: shop, labels: {app: api}}
spec: {containers: [{name: main}]}
"""


def policy(name: str, action: str, *rules: str, app: str = "web") -> str:
    selector = f"  selector: {{matchLabels: {{app: {app}}}}}\n" if app else ""
    lines = "".join(f"    - {rule}\n" for rule in rules)
    return f"""\
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: shop}}
spec:
  action: {action}
{selector}  rules:
{lines}"""


def subject(*policies: str) -> Subject:
    loaded = read([("a.yaml", "".join((PODS, *policies)).encode())], offline=True)
    assert loaded.ok, loaded.findings
    return Subject(loaded.objects, "cluster.local")


FROM = "from: [{source: {namespaces: [shop]}}]"
GET, POST = "{operation: {methods: [GET]}}", "{operation: {methods: [POST]}}"


def test_a_rule_with_fewer_clauses_covers_one_with_more() -> None:
    given = subject(policy("a", "ALLOW", f"{{{FROM}, to: [{GET}]}}"), policy("b", "ALLOW", f"{{{FROM}}}"))
    assert covered(given) == {"shop/authz:a/0": "shop/authz:b/0"}
    (one,) = check(given)
    assert (one.code, one.object, one.field) == ("TSJ101", "AuthorizationPolicy shop/a", "spec.rules[0]")


def test_of_two_that_are_the_same_one_stays() -> None:
    assert len(covered(subject(policy("a", "DENY", f"{{{FROM}}}", f"{{{FROM}}}")))) == 1


def test_one_of_the_alternatives_is_less() -> None:
    both = f"{{to: [{GET}, {POST}]}}"
    assert covered(subject(policy("a", "ALLOW", both, f"{{to: [{POST}]}}"))) == {
        "shop/authz:a/1": "shop/authz:a/0"
    }


def test_a_deny_covers_an_allow_and_not_the_other_way_round() -> None:
    get = f"{{to: [{GET}]}}"
    given = subject(policy("a", "ALLOW", get), policy("d", "DENY", get))
    assert covered(given) == {"shop/authz:a/0": "shop/authz:d/0"}


def test_a_rule_elsewhere_covers_nothing() -> None:
    everything = "{}"
    narrow = subject(policy("a", "ALLOW", everything, app=""), policy("b", "ALLOW", everything, app="api"))
    assert covered(narrow) == {"shop/authz:b/0": "shop/authz:a/0"}


def test_an_audit_covers_nothing() -> None:
    assert covered(subject(policy("a", "AUDIT", "{}"), policy("b", "ALLOW", "{}"))) == {}
