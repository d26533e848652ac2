"""Where the acts say what they do and what they see. How it is shown is the runner's business."""

from __future__ import annotations

from typing import Protocol

from tsujiban.local.demo.record import ActRecord, Check


class Audience(Protocol):
    """Whoever watches: a terminal, plain lines, nobody."""

    def step(self, text: str) -> None:
        """Something takes a moment."""

    def checked(self, check: Check) -> None:
        """Something came out."""


class Stage:
    """One act's stage."""

    def __init__(self, record: ActRecord, audience: Audience) -> None:
        self.record = record
        self._audience = audience

    def step(self, text: str) -> None:
        """Say what is being done now."""
        self._audience.step(text)

    def check(
        self, what: str, *, expected: str, observed: object, ok: bool, rule: str = "", post: str = ""
    ) -> None:
        """Write down one outcome."""
        check = Check(what=what, expected=expected, observed=str(observed), ok=ok, rule=rule, post=post)
        self.record.checks.append(check)
        self._audience.checked(check)

    def same(self, what: str, expected: object, observed: object, *, rule: str = "", post: str = "") -> None:
        """Write down whether two values are the same."""
        self.check(
            what, expected=str(expected), observed=observed, ok=expected == observed, rule=rule, post=post
        )
