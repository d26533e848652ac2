"""One line for every write that was asked for: who, what, when, with which result. Never a value."""

from __future__ import annotations

import structlog

from tsujiban.controller.api.authorize import Attributes
from tsujiban.controller.api.users import User

_log = structlog.get_logger("tsujiban.audit")

READS = frozenset({"get", "list", "watch"})


def record(
    user: User | None, wanted: Attributes, *, code: int, name: str = "", reason: str = "", action: str = ""
) -> None:
    """Log a write; reads are not logged. `name` is what a new object was named; `action` is what an apply
    made of an object."""
    if wanted.verb in READS:
        return
    fields = {field: value for field in wanted.__struct_fields__ if (value := getattr(wanted, field))}
    fields |= {field: value for field, value in (("reason", reason), ("action", action)) if value}
    if name:
        fields["name"] = name
    who = {"user": user.name, "groups": list(user.groups)} if user else {"user": ""}
    _log.info("write", **who, **fields, code=code)
