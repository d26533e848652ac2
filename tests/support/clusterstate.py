"""What a local cluster says of itself when a test has waited in vain: a failure that is seen once, on a
machine that is gone, must be explained by what it printed."""

from __future__ import annotations

import subprocess
import sys

from tsujiban.local.layout import Layout

_QUESTIONS = (
    ("status",),
    ("get", "pods", "-A", "-o", "yaml"),
    ("get", "events", "-A"),
    ("get", "networkpolicies,authorizationpolicies", "-A"),
)
_COMPLAINTS = ("warning", "error", "critical", "Traceback")
_LINES = 30  # of each log


def state(cluster: str) -> str:
    """Its components, pods, events and policies, and what its processes have complained of."""
    asked = (
        subprocess.run(
            [sys.executable, "-m", "tsujiban", *words, "--cluster", cluster],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=30,
        ).stdout
        for words in _QUESTIONS
    )
    return "\n".join((*asked, *_complaints(cluster)))


def _complaints(cluster: str) -> list[str]:
    layout = Layout(cluster)
    found: list[str] = []
    for log in sorted({*layout.run.rglob("*.log"), *layout.state.rglob("*.log")}):
        lines = log.read_text(errors="replace").splitlines()
        told = [line for line in lines if any(word in line for word in _COMPLAINTS)]
        found += [f"{log.relative_to(log.parents[1])}: {line}" for line in told[-_LINES:]]
    return found
