"""One line for every write that was asked for: who, what, when, with which result. Never a value."""

from __future__ import annotations

import structlog

from tsujiban.controller.api.authorize import Attributes
from tsujiban.controller.api.users import User

_log = structlog.get_logger("tsujiban.audit")

READS = frozenset({"get", "list", "watch"})


def record(user: User | None, wanted: Attributes, *, code: int, revision: int = 0, reason: str = "") -> None:
    """Log a write; reads are not logged."""
    if wanted.verb in READS:
        return
    fields = {name: value for name in wanted.__struct_fields__ if (value := getattr(wanted, name))}
    if revision:
        fields["revision"] = revision
    if reason:
        fields["reason"] = reason
    who = {"user": user.name, "groups": list(user.groups)} if user else {"user": ""}
    _log.info("write", **who, **fields, code=code)
