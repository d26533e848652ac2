from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tsujiban.cli.main import main

DOCS = Path(__file__).parents[3] / "docs" / "connectivity.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BANK = Path(__file__).parents[3] / "examples" / "bank" / "bank.yaml"


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the page's example, in the current folder."""
    for kind, text in BLOCK.findall(DOCS.read_text()):
        if kind == "yaml":
            path = tmp_path / text.partition("\n")[0].removeprefix("# ")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def consoles() -> list[tuple[str, str]]:
    found = []
    for kind, text in BLOCK.findall(DOCS.read_text()):
        if kind == "console":
            command, _, output = text.partition("\n")
            found.append((command.removeprefix("$ tsujiban "), output))
    return found


@pytest.mark.parametrize(("command", "output"), consoles(), ids=[command for command, _ in consoles()])
@pytest.mark.usefixtures("example")
def test_the_page_shows_what_is_printed(command: str, output: str) -> None:
    assert run(*command.split()).stdout == output


@pytest.mark.usefixtures("example")
def test_the_page_s_python_runs() -> None:
    blocks = [text for kind, text in BLOCK.findall(DOCS.read_text()) if kind == "python"]
    assert blocks
    for text in blocks:
        exec(compile(text, "docs/connectivity.md", "exec"), {})  # noqa: S102 - our own page


@pytest.mark.parametrize("form", ["txt", "md", "csv", "dot", "svg", "json"])
def test_every_form_is_the_same_twice(form: str) -> None:
    first, second = (run("connectivity", "-f", str(BANK), "-o", form) for _ in range(2))
    assert first.exit_code == 0
    assert first.stdout == second.stdout != ""


def test_json_has_groups_and_connections() -> None:
    told = json.loads(run("connectivity", "-f", str(BANK), "-o", "json").stdout)
    names = {group["name"] for group in told["groups"]}
    assert all({c["source"], c["destination"]} <= names for c in told["connections"])


def test_an_unknown_focus_is_wrong_use() -> None:
    result = run("connectivity", "-f", str(BANK), "--focus", "custmer")
    assert result.exit_code == 2
    assert "did you mean customer" in result.stderr


def test_exposure_has_no_picture() -> None:
    assert run("connectivity", "-f", str(BANK), "--exposure", "-o", "svg").exit_code == 2


def test_bad_input_is_shown_with_its_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: {podSelectr: {}}\n"
    )
    result = run("connectivity", "-f", str(bad))
    assert result.exit_code == 2
    assert f"{bad}:4" in result.stderr
    assert result.stdout == ""
