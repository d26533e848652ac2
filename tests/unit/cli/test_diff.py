from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tsujiban.cli import offline, running
from tsujiban.cli.main import main

POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: x, labels: {{app: {name}}}}}
spec: {{containers: [{{name: c, image: i}}]}}
status: {{podIP: 10.0.0.{number}}}
---
"""
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: p, namespace: x}}
spec:
  podSelector: {{matchLabels: {{app: a}}}}
  ingress:
  - from: [{{podSelector: {{}}}}]
    ports: [{ports}]
"""


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["diff", *words])


@pytest.fixture
def sides(tmp_path: Path) -> tuple[str, str, str]:
    """The same pods with port 80 open, with 80 and 90, and with none."""
    pods = POD.format(name="a", number=1) + POD.format(name="b", number=2)
    found = []
    for name, ports in (
        ("one", "{port: 80}"),
        ("two", "{port: 80}, {port: 90}"),
        ("none", "{port: 7, protocol: SCTP}"),
    ):
        path = tmp_path / f"{name}.yaml"
        path.write_text(pods + POLICY.format(ports=ports))
        found.append(str(path))
    return found[0], found[1], found[2]


def test_no_difference_is_exit_code_0(sides: tuple[str, str, str]) -> None:
    result = run("-f", sides[0], "-f", sides[0])
    assert (result.exit_code, result.stdout) == (0, "no difference\n")


def test_a_difference_names_rules_with_file_and_line(sides: tuple[str, str, str]) -> None:
    result = run("-f", sides[0], "-f", sides[1])
    assert result.exit_code == 1
    assert "~ x/b => x/a : now also TCP 90 (was TCP 80; is TCP 80, 90)" in result.stdout
    assert f"new: allow by x/knp:p/ingress/0  {sides[1]}:" in result.stdout
    assert "old: deny by _tier/default/ingress/default  because of x/knp:p" in result.stdout


def test_json_has_both_sides(sides: tuple[str, str, str]) -> None:
    [change] = json.loads(run("-f", sides[1], "-f", sides[0], "-o", "json").stdout)["changes"]
    assert (change["what"], change["gained"], change["lost"]) == ("changed", "", "TCP 90")
    assert [rule["file"] for rule in change["oldRules"] if rule["id"] == "x/knp:p/ingress/0"] == [sides[1]]


def test_csv_and_markdown(sides: tuple[str, str, str]) -> None:
    [row] = csv.DictReader(io.StringIO(run("-f", sides[0], "-f", sides[1], "-o", "csv").stdout))
    assert (row["change"], row["source"], row["destination"]) == ("changed", "x/b", "x/a")
    assert (
        "| changed | x/b | x/a | TCP 80 | TCP 80, 90 |"
        in run("-f", sides[0], "-f", sides[1], "-o", "md").stdout
    )
    assert run("-f", sides[0], "-f", sides[0], "-o", "md").stdout == "No connection changes.\n"


@pytest.mark.parametrize(
    ("kinds", "code"), [([], 1), (["any"], 1), (["changed"], 1), (["added"], 0), (["added", "changed"], 1)]
)
def test_fail_on_chooses_what_gates(sides: tuple[str, str, str], kinds: list[str], code: int) -> None:
    words = [word for kind in kinds for word in ("--fail-on", kind)]
    assert run("-f", sides[0], "-f", sides[1], *words).exit_code == code


def test_a_workload_that_is_gone(sides: tuple[str, str, str], tmp_path: Path) -> None:
    alone = tmp_path / "alone.yaml"
    alone.write_text(POD.format(name="a", number=1) + POLICY.format(ports="{port: 80}"))
    result = run("-f", sides[0], "-f", str(alone), "--fail-on", "removed")
    assert result.exit_code == 1
    assert "- x/b => x/a : TCP 80  (source gone)" in result.stdout


def test_old_and_new_take_several_files(sides: tuple[str, str, str], tmp_path: Path) -> None:
    for number, name in ((1, "a"), (2, "b")):
        (tmp_path / f"pod-{name}.yaml").write_text(POD.format(name=name, number=number))
    (tmp_path / "p.yaml").write_text(POLICY.format(ports="{port: 80}"))
    parts = [str(tmp_path / name) for name in ("pod-a.yaml", "pod-b.yaml", "p.yaml")]
    words = [word for part in parts for word in ("--new", part)]
    assert run("--old", sides[0], *words).exit_code == 0


@pytest.mark.parametrize("words", [[], ["--old", "x"], ["-f", "x", "-f", "y", "-f", "z"]])
def test_wrong_use(words: list[str]) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert "give two sides" in result.stderr


def test_one_file_is_compared_with_the_running_cluster(
    sides: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = offline.load([Path(sides[0])])
    monkeypatch.setattr(running, "objects", lambda _cluster: (now, "cluster.local"))
    assert run("-f", sides[0]).exit_code == 0
    assert run("-f", sides[1]).exit_code == 1


def test_bad_input_is_refused_with_its_line(sides: tuple[str, str, str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("kind: Nothing\napiVersion: v1\nmetadata: {name: a}\n")
    result = run("-f", sides[0], "-f", str(bad))
    assert result.exit_code == 2
    assert f"{bad}:" in result.stderr
