from __future__ import annotations

import io

from rich.console import Console

from tsujiban.local.demo.record import ActRecord, Check, Record
from tsujiban.local.demo.show import Show


def test_without_a_terminal_there_are_plain_lines() -> None:
    text = io.StringIO()
    act = ActRecord(number=3, title="The hack")
    with Show(Console(file=text, soft_wrap=True)) as show:
        show.begins(act, "A story [in brackets].")
        show.step("hacking [now]")
        show.checked(
            Check(what="write", expected="refused", observed="HTTP 200", ok=False, rule="a/b", post="kernel")
        )
        act.error = "it broke"
        show.ended(act)
        show.epilogue(Record(acts=[act], seconds=2.0))
    assert text.getvalue().splitlines() == [
        "",
        "== Act 3. The hack",
        "  A story [in brackets].",
        "  ... hacking [now]",
        "  ✗ write: HTTP 200  (expected: refused)",
        "      kernel, rule a/b",
        "  ✗ it broke",
        "",
        "0 of 1 acts came out right, in 2 s.",
    ]


def test_a_terminal_gets_a_live_line_that_is_gone_at_the_end() -> None:
    text = io.StringIO()
    with Show(Console(file=text, force_terminal=True, width=80)) as show:
        show.begins(ActRecord(number=1, title="Open"), "Story.")
        show.step("one")
        show.step("two")
    assert "two" in text.getvalue()
    assert text.getvalue().rstrip().endswith("\x1b[2K")  # the line is erased
