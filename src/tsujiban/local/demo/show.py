"""How the demonstration looks: colour and a live line on a terminal, plain lines otherwise."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.rule import Rule
from rich.status import Status

from tsujiban.local.demo.record import ActRecord, Check, Record


class Show(AbstractContextManager["Show"]):
    """Writes the acts to a console as they are played."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._quiet()

    def step(self, text: str) -> None:
        """Something takes a moment."""
        if not self._console.is_terminal:
            self._console.print(f"  ... {text}", markup=False, highlight=False, soft_wrap=True)
        elif self._status is None:
            self._status = self._console.status(f"[dim]{escape(text)}[/dim]", spinner="dots")
            self._status.start()
        else:
            self._status.update(f"[dim]{escape(text)}[/dim]")

    def checked(self, check: Check) -> None:
        """Something came out."""
        mark = "[bold green]✓[/]" if check.ok else "[bold red]✗[/]"
        line = f"  {mark} {escape(check.what)}: [bold]{escape(check.observed)}[/]"
        if not check.ok:
            line += f"  [red](expected: {escape(check.expected)})[/]"
        if check.rule and check.rule not in check.observed:
            post = f"{check.post}, " if check.post else ""
            line += f"\n      [cyan]{escape(post)}rule {escape(check.rule)}[/]"
        self._console.print(line, highlight=False, soft_wrap=True)

    def begins(self, act: ActRecord, story: str) -> None:
        """The curtain rises."""
        self._quiet()
        title = f"Act {act.number}. {act.title}"
        self._console.print()
        if self._console.is_terminal:
            self._console.print(Rule(f"[bold]{escape(title)}[/]", align="left", style="cyan"))
        else:
            self._console.print(f"== {title}", markup=False, highlight=False)
        self._console.print(f"  {story}", style="italic dim", markup=False, highlight=False)

    def ended(self, act: ActRecord) -> None:
        """The curtain falls."""
        self._quiet()
        if act.error:
            self._console.print(f"  [bold red]✗ {escape(act.error)}[/]", highlight=False, soft_wrap=True)

    def epilogue(self, record: Record) -> None:
        """What it came to."""
        self._quiet()
        good = sum(act.ok for act in record.acts)
        style = "bold green" if record.ok else "bold red"
        text = f"{good} of {len(record.acts)} acts came out right, in {record.seconds:.0f} s."
        self._console.print()
        self._console.print(text, style=style, highlight=False)

    def say(self, text: str) -> None:
        """A line for the reader."""
        self._quiet()
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _quiet(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
