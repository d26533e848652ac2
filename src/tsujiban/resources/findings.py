"""What is wrong with the user's input: one form for every reader of manifests.

The command line prints findings, the API server returns them, `lint` adds its own. Codes are
stable, so that a finding can be silenced or looked up in docs/resources.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec


class Severity(StrEnum):
    """An error refuses the whole input; a warning does not."""

    ERROR = "error"
    WARNING = "warning"


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong, where, and what would be right."""

    severity: Severity = Severity.ERROR
    code: str
    message: str
    hint: str = ""
    file: str = ""
    line: int = 0  # from 1; 0 is not known
    column: int = 0  # from 1; 0 is not known
    object: str = ""  # e.g. "NetworkPolicy default/web"
    field: str = ""  # e.g. "spec.ingress[0].action"

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        what = " ".join(part for part in (self.object, self.field) if part)
        head = ": ".join(part for part in (place, str(self.severity), what, self.message) if part)
        return f"{head} ({self.hint}) [{self.code}]" if self.hint else f"{head} [{self.code}]"


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """Only those that refuse the input."""
    return [finding for finding in findings if finding.severity is Severity.ERROR]
