from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from tsujiban.cli.main import main

OPEN = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: open, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
  ingress:
    - {}
"""
CLEAN = OPEN.replace("    - {}", "    - ports: [{port: 80}]")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "open.yaml").write_text(OPEN)
    (tmp_path / "open_test.yaml").write_text("not: a manifest\n")
    return tmp_path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["lint", *map(str, arguments)])


def test_a_finding_is_told_with_place_remedy_and_page(folder: Path) -> None:
    result = run("-f", folder)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0] == (
        f"{folder}/open.yaml:8:7: warning: NetworkPolicy shop/open spec.ingress[0]: "
        "it lets everything in, from anywhere, on any port [TSJ106 wide-open]"
    )
    assert lines[1:] == [
        "    remedy: name the peers, or at least the ports",
        "1 warning",
        "each code has a page: docs/lint/TSJ106.md",
    ]


def test_a_clean_folder_ends_well(folder: Path) -> None:
    (folder / "open.yaml").write_text(CLEAN)
    result = run("-f", folder)
    assert (result.exit_code, result.stdout) == (0, "nothing found\n")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--fail-on", "error"), 0),
        (("--fail-on", "never"), 0),
        (("--fail-on", "info"), 1),
        (("--ignore", "TSJ106"), 0),
        (("--ignore", "tsj10"), 0),
        (("--select", "wide-open"), 1),
        (("--select", "TSJ101,TSJ102"), 0),
    ],
)
def test_which_findings_count(folder: Path, options: tuple[str, ...], code: int) -> None:
    assert run("-f", folder, *options).exit_code == code


def test_a_code_that_does_not_exist_is_wrong_use(folder: Path) -> None:
    result = run("-f", folder, "--ignore", "TSJ16")
    assert result.exit_code == 2
    assert "did you mean TSJ116?" in result.output


def test_manifests_that_are_wrong_are_bad_input(folder: Path) -> None:
    (folder / "open.yaml").write_text(OPEN.replace("podSelector", "podSelektor"))
    result = run("-f", folder)
    assert result.exit_code == 2
    assert "open.yaml:5:3: error: " in result.stderr
    assert "did you mean 'podSelector'?" in result.stderr


def test_silenced_findings_are_counted_and_shown_on_demand(folder: Path) -> None:
    (folder / "open.yaml").write_text(OPEN.replace("- {}", "- {} # tsujiban:ignore TSJ106 for all"))
    quiet = run("-f", folder)
    assert (quiet.exit_code, quiet.stdout) == (0, "nothing found; 1 silenced\n")
    shown = run("-f", folder, "--show-silenced")
    assert shown.exit_code == 0
    assert "    silenced: for all\n" in shown.stdout


def test_json_is_a_list_of_findings(folder: Path) -> None:
    (one,) = json.loads(run("-f", folder, "-o", "json").stdout)
    assert (one["code"], one["line"], one["severity"]) == ("TSJ106", 8, "warning")


def test_sarif_holds_silenced_findings_as_suppressed(folder: Path) -> None:
    (folder / "open.yaml").write_text(OPEN.replace("- {}", "- {} # tsujiban:ignore TSJ106 for all"))
    (result,) = json.loads(run("-f", folder, "-o", "sarif").stdout)["runs"][0]["results"]
    assert result["suppressions"][0]["justification"] == "for all"


def test_junit_has_a_case_for_every_code(folder: Path) -> None:
    from tsujiban.policy.lint import CODES

    (suite,) = ElementTree.fromstring(run("-f", folder, "-o", "junit").stdout)  # noqa: S314 - our own
    assert (suite.get("tests"), suite.get("failures")) == (str(len(CODES)), "1")
    quiet = run("-f", folder, "-o", "junit", "--fail-on", "error").stdout
    (suite,) = ElementTree.fromstring(quiet)  # noqa: S314 - our own
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "1")


def test_the_bank_is_clean() -> None:
    bank = Path(__file__).parents[3] / "examples" / "bank"
    result = run("-f", bank, "--fail-on", "info")
    assert (result.exit_code, result.stdout) == (0, "nothing found\n")
