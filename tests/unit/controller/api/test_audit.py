from __future__ import annotations

import structlog

from tsujiban.controller.api import audit
from tsujiban.controller.api.authorize import Attributes
from tsujiban.controller.api.users import User


def test_writes_are_recorded_and_reads_are_not() -> None:
    with structlog.testing.capture_logs() as logs:
        for verb in ("get", "list", "watch"):
            audit.record(User("a"), Attributes(verb=verb), code=200)
        audit.record(User("a", ("g",)), Attributes(verb="create", resource="pods"), code=201, name="p")
        audit.record(None, Attributes(verb="delete", path="/x"), code=401, reason="Unauthorized")
    assert logs == [
        {
            "event": "write",
            "log_level": "info",
            "user": "a",
            "groups": ["g"],
            "verb": "create",
            "resource": "pods",
        }
        | {"name": "p", "code": 201},
        {"event": "write", "log_level": "info", "user": "", "verb": "delete", "path": "/x", "code": 401}
        | {"reason": "Unauthorized"},
    ]
