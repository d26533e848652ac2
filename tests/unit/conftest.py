"""What a machine that stands still for seconds must not set off: how long the product waits for others.

Both ends are in the test's own process, or in one that it has started, and stand still with it. So these
bounds say nothing here, but for the tests that are about one of them: these set it themselves.
"""

from __future__ import annotations

import sys

import pytest
from tests.support.wait import PATIENCE

BOUNDS = {
    "tsujiban.agent.execution": ("TERMINAL_SECONDS",),
    "tsujiban.agent.forwarding": ("CONNECT_SECONDS",),
    "tsujiban.agent.link": ("SIGN_TIMEOUT",),
    "tsujiban.agent.nodeproxy": ("READY_SECONDS", "RESUME_SECONDS"),
    "tsujiban.agent.podhooks": ("UP_SECONDS",),
    "tsujiban.agent.proxies": ("ENFORCED_SECONDS", "MOVE_SECONDS"),
    "tsujiban.agent.renewal": ("SERVES_SECONDS",),
    "tsujiban.agent.sessions": ("SANDBOX_SECONDS",),
    "tsujiban.agent.sidecars": ("READY_SECONDS",),
    "tsujiban.controller.api.access": ("READY_SECONDS",),
    "tsujiban.controller.api.channels": ("STREAMS_SECONDS",),
    "tsujiban.controller.api.doors": ("HANDSHAKE_SECONDS",),
    "tsujiban.controller.api.health": ("CHECK_SECONDS",),
    "tsujiban.controller.api.peer": ("HEADER_SECONDS",),
    "tsujiban.controller.api.responses": ("BODY_SECONDS", "SEND_SECONDS"),
    "tsujiban.controller.api.turns": ("WAIT_SECONDS",),
    "tsujiban.controller.leadership": ("RELEASE_SECONDS",),
    "tsujiban.controller.nodes": ("HELLO_TIMEOUT",),
    "tsujiban.controller.revocations": ("READ_SECONDS",),
    "tsujiban.controller.sessions": ("ANSWER_SECONDS", "BEGIN_SECONDS"),
    "tsujiban.identity.rotation": ("SIGN_TIMEOUT",),
    "tsujiban.local.client": ("ANSWER_SECONDS",),
    "tsujiban.local.streams": ("CONNECT_SECONDS",),
    "tsujiban.network.birdc": ("TIMEOUT",),
    "tsujiban.network.dnsserver": ("TCP_IDLE",),
    "tsujiban.wire.transport": ("CONNECT_TIMEOUT", "PING_INTERVAL"),  # who is not pinged need not answer
    "tsujiban.wire.pinned": ("TIMEOUT",),
}
LONG = 10 * PATIENCE


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, bounds in BOUNDS.items():
        if module := sys.modules.get(name):
            for bound in bounds:
                monkeypatch.setattr(module, bound, LONG)
