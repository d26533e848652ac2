from __future__ import annotations

import pytest

from tsujiban.cli import columns


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert columns.layout(["A", "BB"], [["longer", "x"]]) == [["A        ", "BB"], ["longer   ", "x"]]


def test_wide_characters_count_double() -> None:
    lines = columns.layout([], [["辻番", "x"], ["ab", "y"]])
    assert lines == [["辻番   ", "x"], ["ab     ", "y"]]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b[2Jallow", r"\x1b[2Jallow"),
        ("a\x9b31m", r"a\x9b31m"),
        ("web\nNAME", r"web\nNAME"),
        ("\u202eyned", r"\u202eyned"),
        ("辻番 é", "辻番 é"),
    ],
)
def test_what_others_have_written_commands_no_terminal(written: str, shown: str) -> None:
    assert columns.layout([], [[written]]) == [[shown]]


def test_nothing_is_laid_out_as_nothing() -> None:
    assert columns.layout([], []) == []


def test_only_states_have_a_hue() -> None:
    assert [columns.hue(word) for word in ("Running  ", "deny", "web-1")] == ["green", "red", ""]


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert columns.colour() is False


def test_show_has_no_colour_codes_and_no_trailing_blanks_without_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    columns.show(["NAME", "STATUS"], [["web", "Running"]])
    assert capsys.readouterr().out == "NAME   STATUS\nweb    Running\n"
