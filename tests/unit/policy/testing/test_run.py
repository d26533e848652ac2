from __future__ import annotations

import pytest

from tsujiban.policy.testing.run import BadTests, Report, run_tests
from tsujiban.resources.load import LoadedObject, read

WORLD = b"""\
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {serviceAccountName: web, containers: [{name: main}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db-0, labels: {app: db}}
spec: {serviceAccountName: db, containers: [{name: main}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db-1, labels: {app: db, spare: "yes"}}
spec: {serviceAccountName: db, containers: [{name: main}]}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {selector: {app: db}, ports: [{port: 5432, targetPort: 15432}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: web}}}]
      ports: [{port: 15432}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: spare}
spec:
  podSelector: {matchLabels: {spare: "yes"}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: db}}}]
"""
HEAD = b"apiVersion: tsujiban.io/v1\nkind: PolicyTest\ncases:\n"


def objects() -> list[LoadedObject]:
    return read([("w.yaml", WORLD)], offline=True).objects


def run(*cases: str, mutate: bool = False) -> Report:
    text = HEAD + "".join(f"  - {case}\n" for case in cases).encode()
    return run_tests({"a_test.yaml": text}, objects(), mutate=mutate)


def why(case: str) -> tuple[str, ...]:
    (result,) = run(case).results
    return result.why


def test_as_expected() -> None:
    report = run(
        "{from: web, to: db-0, port: 15432, expect: allow}", "{from: web, to: db-0, port: 1, expect: deny}"
    )
    assert report.passed
    assert [result.verdict for result in report.results] == ["allow", "deny"]


def test_a_service_stands_for_its_pods_and_its_port_for_theirs() -> None:
    assert run("{from: web, to: service/db, port: 5432, expect: allow}").passed
    assert run("{from: web, to: service/db, expect: allow}").passed
    (result,) = run("{from: web, to: service/db, expect: allow}").results
    assert {story.destination for story in result.told} == {"default/db-0", "default/db-1"}


def test_every_pod_that_a_name_stands_for_must_come_out_as_expected() -> None:
    told = why("{from: db-0, to: service/db, expect: deny}")
    assert told[0] == "expected deny, got allow: default/db-0 -> default/db-1"


def test_a_failure_names_who_decided_and_the_nearest_miss() -> None:
    told = why("{from: web, to: db-0, port: 80, expect: allow}")
    assert told[0] == "expected allow, got deny: default/web -> default/db-0"
    assert told[1] == "ingress of default/db-0: deny at the kernel by _tier/default/ingress/default"
    assert told[2].startswith("nearest miss: default/knp:db/ingress/0 allow: destination.ports: wants ")
    assert told[2].endswith("; got port 80 (w.yaml:27)")


def test_a_flow_that_was_let_through_names_the_rules() -> None:
    told = why("{from: web, to: db-0, port: 15432, expect: deny}")
    assert any("by default/knp:db/ingress/0 (w.yaml:27)" in line for line in told)


def test_the_rule_must_be_the_one_that_decided() -> None:
    case = "{from: web, to: db-0, port: 15432, expect: allow, rule: default/knp:%s/ingress/0}"
    assert run(case % "db").passed
    told = why(case % "spare")
    assert told[0].startswith("allow as expected, but by ")
    assert told[-1] == "default/knp:spare/ingress/0 was not asked"


def test_a_name_that_nothing_is_called_is_bad_input() -> None:
    with pytest.raises(BadTests) as caught:
        run("{from: web, to: bd-0, expect: allow}", "{from: wbe, to: db-0, expect: allow}")
    assert [(one.file, one.line) for one in caught.value.findings] == [("a_test.yaml", 4), ("a_test.yaml", 5)]
    assert "did you mean" in caught.value.findings[0].message


def test_a_bad_file_is_bad_input() -> None:
    with pytest.raises(BadTests, match="did you mean 'from'"):
        run("{form: web, to: db-0, expect: allow}")


def test_an_address_and_plaintext() -> None:
    assert run("{from: 198.51.100.1, to: db-0, port: 15432, expect: deny}").passed
    told = why("{from: web, to: db-0, port: 15432, principal: '', expect: allow}")
    assert "authentication of default/db-0: deny at the proxy by _mesh/strict" in told


def test_no_tests_is_an_empty_report() -> None:
    assert run_tests({}, objects()) == Report()
    assert Report().score == 1
