"""`tsujiban explain` on files: what is asked with options, and how the answer reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tsujiban.cli.main import main

WORLD = """\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec: {serviceAccountName: web, containers: [{name: main}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db}
spec: {serviceAccountName: db, containers: [{name: main}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: me, namespace: default}
spec: {jwtRules: [{issuer: me, jwksUri: "https://me/keys"}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: named, namespace: default}
spec:
  rules:
    - when: [{key: connection.sni, values: [db.example]}]
    - when: [{key: "request.auth.claims[team]", values: [red]}]
"""


@pytest.fixture
def world(tmp_path: Path) -> Path:
    path = tmp_path / "world.yaml"
    path.write_text(WORLD)
    return path


def explain(world: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["explain", "web", "db", "-f", str(world), "--port", "443", *options])


@pytest.mark.parametrize(
    ("options", "verdict", "rule"),
    [
        (("--sni", "db.example"), "allow", "default/authz:named/0"),
        (("--sni", "other"), "deny", "_authz/no-allow"),
        (("--claims", '{"iss": "me", "sub": "a", "team": "red"}'), "allow", "default/authz:named/1"),
        (("--claims", '{"iss": "me", "sub": "a", "team": "blue"}'), "deny", "_authz/no-allow"),
    ],
)
def test_server_names_and_claims_are_asked_about(
    world: Path, options: tuple[str, ...], verdict: str, rule: str
) -> None:
    told = json.loads(explain(world, *options, "-o", "json").stdout)
    assert told["verdict"] == verdict
    assert rule in told["decided_by"]


def test_the_question_is_repeated_in_the_answer(world: Path) -> None:
    first = explain(world, "--sni", "db.example").stdout.splitlines()[0]
    assert first == "default/web -> default/db  TCP port 443, TLS to db.example"


def test_claims_that_are_no_object_are_refused(world: Path) -> None:
    answer = explain(world, "--claims", "[1]")
    assert answer.exit_code == 2
    assert "--claims: Expected `object`, got `array`" in answer.stderr
