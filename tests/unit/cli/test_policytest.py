from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from tsujiban.cli.main import main

WORLD = """\
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
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: web}}}]
      ports: [{port: 5432}]
"""
HEAD = "apiVersion: tsujiban.io/v1\nkind: PolicyTest\nmetadata: {name: db}\n"
CASES = """\
cases:
  - {name: it reads, from: web, to: db, port: 5432, expect: allow}
  - {name: no shell, from: web, to: db, port: 22, expect: deny}
"""
BANK = Path(__file__).parents[3] / "examples" / "bank"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "world.yaml").write_text(WORLD)
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "db_test.yaml").write_text(HEAD + CASES)
    return tmp_path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["test", *map(str, arguments)])


def test_without_policies_the_folder_is_the_world(folder: Path) -> None:
    result = run(folder)
    assert (result.exit_code, result.stdout) == (0, "2 passed\n")


def test_a_failure_is_explained(folder: Path) -> None:
    (folder / "db_test.yaml").write_text(HEAD + CASES.replace("deny", "allow"))
    result = run(folder)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0] == f"FAIL  no shell  {folder}/db_test.yaml:6"
    assert lines[1] == "      expected allow, got deny: default/web -> default/db"
    assert f"({folder}/policy.yaml:" in lines[3]
    assert lines[-1] == "1 passed, 1 failed"


def test_passing_cases_are_shown_on_demand(folder: Path) -> None:
    assert run(folder, "-v").stdout.startswith(f"pass  it reads  {folder}/db_test.yaml:5\n")


def test_files_and_globs_of_the_test_are_relative_to_it(folder: Path) -> None:
    (folder / "tests").mkdir()
    for name in ("policy", "world"):
        (folder / f"{name}.yaml").rename(folder / "tests" / f"{name}.yaml")
    (folder / "db_test.yaml").write_text(
        HEAD + "policies: ['**/p*.yaml']\nendpoints: [tests/world.yaml]\n" + CASES
    )
    assert run(folder).exit_code == 0
    (folder / "db_test.yaml").write_text(HEAD + "policies: [nothing*.yaml]\n" + CASES)
    result = run(folder)
    assert result.exit_code == 2
    assert "'nothing*.yaml' names no manifest" in result.stderr


def test_filter_leaves_cases_out(folder: Path) -> None:
    assert run(folder, "--filter", "shell").stdout == "1 passed\n"
    result = run(folder, "--filter", "nothing")
    assert result.exit_code == 2


def test_bad_input_is_told_with_file_and_line(folder: Path) -> None:
    (folder / "db_test.yaml").write_text(HEAD + CASES.replace("from:", "form:"))
    result = run(folder)
    assert result.exit_code == 2
    assert f"{folder}/db_test.yaml:5:" in result.stderr
    assert "did you mean 'from'?" in result.stderr


def test_an_unknown_name_is_bad_input(folder: Path) -> None:
    (folder / "db_test.yaml").write_text(HEAD + CASES.replace("to: db", "to: db0"))
    result = run(folder)
    assert result.exit_code == 2
    assert f"{folder}/db_test.yaml:5" in result.stderr
    assert "did you mean db" in result.stderr


def test_a_folder_without_tests_is_wrong_use(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.exit_code == 2
    assert "no policy tests" in result.stderr


def test_mutation_names_what_no_test_notices(folder: Path) -> None:
    whole = run(folder, "--mutate", "--min-score", "100")
    assert whole.exit_code == 0
    assert "mutation score 100%: 2 of 2 changes noticed" in whole.stdout
    part = run(folder, "--mutate", "--min-score", "100", "--filter", "shell")
    assert part.exit_code == 1
    assert f"default/knp:db/ingress/0: remove  {folder}/policy.yaml:" in part.stdout
    assert "default/web -> default/db TCP 5432: allow would become deny" in part.stdout
    assert run(folder, "--mutate", "--filter", "shell").exit_code == 0
    assert run(folder, "--min-score", "100").exit_code == 2


def test_json_and_junit(folder: Path) -> None:
    answer = json.loads(run(folder, "--mutate", "-o", "json").stdout)
    assert (answer["passed"], answer["score"]) == (True, 1)
    assert [result["verdict"] for result in answer["results"]] == ["allow", "deny"]
    tests, mutation = ElementTree.fromstring(run(folder, "--mutate", "-o", "junit").stdout)  # noqa: S314 - our own
    assert (tests.get("name"), tests.get("tests"), mutation.get("tests")) == ("db", "2", "2")


def test_other_commands_pass_over_test_files(folder: Path) -> None:
    flows = folder / "flows.jsonl"
    flows.write_text('{"src": "web", "dst": "db", "port": 5432}\n')
    result = CliRunner().invoke(main, ["verdict", "-f", str(folder), "--flows", str(flows)])
    assert result.exit_code == 0, result.output


def test_the_banks_tests_pass_and_notice_every_change() -> None:
    result = run(BANK, "--mutate", "--min-score", "100", "-o", "json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    closing = {mutant["rule"] for mutant in answer["mutants"] if mutant["equivalent"]}
    assert closing == {  # each closes its own policy; the tier would deny as well
        "default/customer-get-only/ingress/1",
        "default/summary-for-customer/ingress/1",
        "default/database-read-only/ingress/1",
    }
