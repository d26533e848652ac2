"""The codes that lint tells of: stable, so that a finding can be looked up, selected and silenced.

Every code has a page, docs/lint/CODE.md, with a bad and a good example that the tests lint.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Level(StrEnum):
    """How much a finding matters, worst first."""

    ERROR = "error"  # it does not do what it says
    WARNING = "warning"  # probably a mistake
    INFO = "info"  # can go, or deserves a thought


class Code(msgspec.Struct, frozen=True):
    """One kind of finding."""

    id: str
    name: str
    level: Level
    summary: str

    @property
    def page(self) -> str:
        """Its page in the documentation."""
        return f"docs/lint/{self.id}.md"


SHADOWED = Code(
    "TSJ101", "shadowed-rule", Level.WARNING, "A rule can never match: earlier ones take all of it."
)
IDLE_POLICY = Code("TSJ102", "selects-nothing", Level.WARNING, "A policy selects no workload.")
REDUNDANT = Code("TSJ103", "redundant-policy", Level.INFO, "Without this policy, no verdict would change.")
NO_EFFECT = Code("TSJ104", "rule-without-effect", Level.INFO, "Without this rule, no verdict would change.")
UNPROTECTED = Code(
    "TSJ105", "unprotected-workload", Level.WARNING, "No policy guards what reaches a workload."
)
WIDE_OPEN = Code("TSJ106", "wide-open", Level.WARNING, "A rule allows any peer on any port.")
NO_DEFAULT_DENY = Code(
    "TSJ107", "no-default-deny", Level.WARNING, "A namespace lets in to pods that no policy names."
)
NO_EGRESS_DENY = Code(
    "TSJ108", "no-default-deny-egress", Level.INFO, "A namespace lets out of pods that no policy names."
)
IDLE_PEER = Code("TSJ109", "peer-selects-nothing", Level.WARNING, "A peer of a rule selects nothing.")
NO_SUCH = Code(
    "TSJ110", "missing-reference", Level.WARNING, "A rule or an endpoint names what does not exist."
)
DEFAULT_ACCOUNT = Code(
    "TSJ111",
    "default-service-account",
    Level.WARNING,
    "A rule trusts the account that every pod gets unasked.",
)
NO_PROXY = Code(
    "TSJ112", "http-outside-mesh", Level.ERROR, "An HTTP or identity rule, and no proxy to judge it."
)
UNDECLARED_PORT = Code(
    "TSJ113", "undeclared-port", Level.WARNING, "A rule opens a port that no container declares."
)
EMPTY_TIER = Code("TSJ114", "empty-tier", Level.INFO, "A tier without policies.")
DOUBTFUL = Code(
    "TSJ115", "doubtful-manifest", Level.WARNING, "A field that probably does not mean what it says."
)
NOT_JUDGED = Code(
    "TSJ116", "not-judged", Level.INFO, "A workload's rules tell apart too much to look for those in vain."
)
UNUSED_SILENCE = Code("TSJ190", "unused-silence", Level.WARNING, "A silence that silences nothing.")
BAD_SILENCE = Code("TSJ191", "bad-silence", Level.WARNING, "A silence that cannot be read.")

CODES: dict[str, Code] = {
    code.id: code
    for code in (
        SHADOWED,
        IDLE_POLICY,
        REDUNDANT,
        NO_EFFECT,
        UNPROTECTED,
        WIDE_OPEN,
        NO_DEFAULT_DENY,
        NO_EGRESS_DENY,
        IDLE_PEER,
        NO_SUCH,
        DEFAULT_ACCOUNT,
        NO_PROXY,
        UNDECLARED_PORT,
        EMPTY_TIER,
        DOUBTFUL,
        NOT_JUDGED,
        UNUSED_SILENCE,
        BAD_SILENCE,
    )
}


class LintFinding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that lint has to say."""

    code: str
    name: str
    severity: Level
    message: str
    hint: str = ""
    file: str = ""
    line: int = 0  # from 1; 0 is not known
    column: int = 0
    object: str = ""  # e.g. "NetworkPolicy default/web"
    field: str = ""  # e.g. "spec.ingress[0]"
    page: str = ""
    silenced: str | None = None  # the reason given; None: it is not silenced
