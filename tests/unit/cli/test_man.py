from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.support.wait import PATIENCE

from tsujiban.cli.errors import Exit
from tsujiban.cli.main import COMMANDS, main
from tsujiban.cli.man import CODES, all_pages, escaped, paragraphs


def test_every_command_has_a_page_with_its_options(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["man", "-d", str(tmp_path)])
    assert result.exit_code == 0, result.output
    names = {path.name for path in (tmp_path / "man1").iterdir()}
    inner = ("controller-join", "controller-token", "create-token", "demo-bank")
    below = {f"tsujiban-{name}.1" for name in inner}
    assert names == {"tsujiban.1", *(f"tsujiban-{name}.1" for name in COMMANDS), *below}
    text = (tmp_path / "man1" / "tsujiban-exec.1").read_text()
    assert ".SH NAME\ntsujiban\\-exec \\- Run a command inside a pod\n" in text
    assert ".SH EXAMPLES\n.nf\n" in text
    assert "\\fB\\-t, \\-\\-tty\\fR" in text
    assert "\\fBtsujiban exec \\-it web\\-1 \\-\\- bash\\fR" in text


def test_the_programs_page_lists_the_commands() -> None:
    text = dict(all_pages())["tsujiban"]
    assert all(f"tsujiban\\-{name.replace('-', chr(92) + '-')}(1)" in text for name in COMMANDS)


def test_one_page_and_one_that_is_not_there() -> None:
    assert CliRunner().invoke(main, ["man", "get"]).output.startswith(".TH TSUJIBAN-GET 1")
    assert CliRunner().invoke(main, ["man"]).output.startswith(".TH TSUJIBAN 1")
    assert CliRunner().invoke(main, ["man", "nothing"]).exit_code == 2


def test_every_exit_code_is_told() -> None:
    assert set(CODES) == set(Exit)


@pytest.mark.parametrize(
    ("text", "roff"), [(".x", "\\&.x"), ("'x", "\\&'x"), ("a-b", "a\\-b"), ("\\n", "\\en"), ("", "")]
)
def test_nothing_in_the_text_is_a_request(text: str, roff: str) -> None:
    assert escaped(text) == roff


def test_paragraphs() -> None:
    assert paragraphs("One\n two.\n\n`a-b` c") == [".PP", "One two.", ".PP", "\\fBa\\-b\\fR c"]


@pytest.mark.parametrize("page", [text for _, text in all_pages()])
def test_lines_begin_with_requests_of_man_only(page: str) -> None:
    requests = {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))}
    assert requests <= {".TH", ".SH", ".PP", ".TP", ".nf", ".fi"}
    assert "" not in page.splitlines()  # an empty line is a paragraph by accident


@pytest.mark.parametrize("tool", [tool for tool in ("groff", "mandoc") if shutil.which(tool)])
def test_those_who_read_such_pages_find_nothing_odd(tool: str) -> None:
    argv = {
        "groff": ["groff", "-man", "-ww", "-z", "-Tutf8", "-"],
        "mandoc": ["mandoc", "-Tlint", "-Wwarning"],
    }
    for name, text in all_pages():
        done = subprocess.run(
            argv[tool], input=text, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert (done.stdout, done.stderr) == ("", ""), name
