"""What the demonstration writes down: every act, every check, expected and observed."""

from __future__ import annotations

import msgspec


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that had to come out in one way, and how it did."""

    what: str
    expected: str
    observed: str
    ok: bool
    rule: str = ""  # id of the rule that decided
    post: str = ""  # kernel or proxy


class ActRecord(msgspec.Struct, kw_only=True):
    """One act."""

    number: int
    title: str
    checks: list[Check] = []
    seconds: float = 0.0
    error: str = ""  # why the act could not be played to its end

    @property
    def ok(self) -> bool:
        """Whether the act was played to its end and everything came out right."""
        return not self.error and bool(self.checks) and all(check.ok for check in self.checks)


class Record(msgspec.Struct, kw_only=True):
    """The whole evening."""

    acts: list[ActRecord] = []
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether every act came out right."""
        return bool(self.acts) and all(act.ok for act in self.acts)
