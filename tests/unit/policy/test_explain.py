from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.support.manifests import PODS, objects

from tsujiban.cli.main import main
from tsujiban.policy.explain import explain_objects
from tsujiban.policy.flow import Request
from tsujiban.policy.offline import UnknownName

POLICY = """
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: only-b, namespace: x}
spec:
  selector: app == 'a'
  types: [Ingress]
  ingress:
  - action: Allow
    protocol: TCP
    source: {selector: app == 'b'}
    destination: {ports: [80]}
    http: {methods: [GET]}
  - {action: Deny}
"""
WORKLOAD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: x}
spec:
  selector: {matchLabels: {app: b}}
  template: {metadata: {labels: {app: b}}, spec: {containers: [{name: c, image: host}]}}
---
apiVersion: v1
kind: Service
metadata: {name: front, namespace: x}
spec: {selector: {app: a}, ports: [{port: 8080, targetPort: web}]}
"""


@pytest.mark.parametrize(
    ("source", "port", "method", "clause", "wanted", "got"),
    [
        ("y/c", 80, "GET", "source.selector", 'app == "b"', "y/c (10.0.0.3)"),
        ("x/b", 81, "GET", "destination.ports", "port 80", "port 81"),
        ("x/b", 80, "PUT", "http.methods", "method GET", "PUT"),
    ],
)
def test_the_clause_that_failed_and_its_values(
    source: str, port: int, method: str, clause: str, wanted: str, got: str
) -> None:
    told = explain_objects(objects(PODS, POLICY), source, "x/a", port=port, request=Request(method=method))
    assert told.decided_by == ("x/only-b/ingress/1",)
    ingress = told.layers[1]
    first, second = ingress.tiers[-1].policies[0].rules
    assert (first.clause, first.matched) == (clause, False)
    assert wanted in first.wanted
    assert got in first.got
    assert second.matched
    assert (second.file, second.line) == ("1.yaml", 14)


def test_names_of_workloads_and_services() -> None:
    told = explain_objects(
        objects(PODS, POLICY, WORKLOAD),
        "deployment/web",
        "front",
        namespace="x",
        port=8080,
        request=Request(),
    )
    assert (told.source, told.destination, told.flow.port) == ("x/b", "x/a", 80)
    assert told.verdict == "allow"


def test_an_unknown_name_suggests_near_ones() -> None:
    with pytest.raises(UnknownName, match=r"did you mean .*web"):
        explain_objects(objects(PODS, WORKLOAD), "x/webb", "x/a", port=80)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "pods.yaml").write_text(PODS)
    return tmp_path


def test_the_command_tells_it_and_gives_it_as_data(files: Path) -> None:
    words = ["explain", "x/b", "x/a", "-f", str(files), "--port", "80", "--method", "GET"]
    read = CliRunner().invoke(main, words)
    assert read.exit_code == 0, read.output
    assert "x/only-b/ingress/0 allow: matches" in read.output
    data = json.loads(CliRunner().invoke(main, [*words, "-o", "json"]).output)
    assert data["verdict"] == "allow"
    assert data["decided_by"][-1] == "x/only-b/ingress/0"


def test_verdicts_come_in_order_one_line_each(files: Path) -> None:
    flows = files / "flows.jsonl"
    lines: list[dict[str, object]] = [
        {"src": "x/b", "dst": "x/a", "protocol": "TCP", "port": 80, "method": "GET", "path": "/"},
        {"src": "x/b", "dst": "x/a", "port": 80},
        {"src": "192.0.2.1", "dst": "y/c", "protocol": "ICMP", "icmpType": 8, "icmpCode": 0},
    ]
    flows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = [
        "verdict",
        "-f",
        str(files / "policy.yaml"),
        "--endpoints",
        str(files / "pods.yaml"),
        "--flows",
        str(flows),
    ]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["verdict"] for answer in answers] == ["allow", "deny", "allow"]
    assert answers[1]["decidedBy"] == ["x/only-b/ingress/1"]
    assert [layer["layer"] for layer in answers[0]["layers"]] == [
        "egress",
        "ingress",
        "authentication",
        "authorization",
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "flows.jsonl:2: "),
        ('{"src": "x/b", "dst": "x/nobody"}', "'x/nobody' is not an address, a pod"),
        ('{"src": "x/b", "dst": "x/a", "prot": 1}', "unknown field `prot`"),
        ('{"src": "x/b", "dst": "x/a", "protocol": "TPC"}', "unknown protocol 'TPC'"),
        ('{"src": "x/b", "dst": "x/a", "port": 70000}', "port 70000"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_guessed(files: Path, line: str, words: str) -> None:
    flows = files / "flows.jsonl"
    flows.write_text(f'{{"src": "x/b", "dst": "x/a", "port": 80}}\n{line}\n')
    done = CliRunner().invoke(
        main,
        ["verdict", "-f", str(files / "policy.yaml"), "-f", str(files / "pods.yaml"), "--flows", str(flows)],
    )
    assert done.exit_code == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_policy_is_refused_whole(files: Path) -> None:
    (files / "policy.yaml").write_text(POLICY.replace("app == 'a'", "app =="))
    flows = files / "flows.jsonl"
    flows.write_text("")
    done = CliRunner().invoke(main, ["verdict", "-f", str(files / "policy.yaml"), "--flows", str(flows)])
    assert done.exit_code == 2
    assert "policy.yaml:6" in done.stderr
