"""When to start a process again: pure, so that every rule of it is tested without waiting.

Delays double from `backoff_initial` (0.2 s) to `backoff_max` (10 s), and start over once a
process stayed up for `backoff_reset` (30 s). Kubernetes takes 10 s to 5 min for containers;
here everything is on one machine, and a killed sidecar or BIRD must be back within a second.
"""

from __future__ import annotations

from tsujiban.supervise.spec import ProcessSpec, Restart


class Backoff:
    """The delays of one process."""

    def __init__(self, spec: ProcessSpec) -> None:
        self._spec = spec
        self._delay = 0.0

    def follow(self, spec: ProcessSpec) -> None:
        """Go by another specification from now on."""
        self._spec = spec

    def after_exit(self, uptime: float, code: int) -> float | None:
        """Seconds until the next start, or None when the process is not started again.

        `uptime` is in seconds; `code` is the exit status, negative for a signal.
        """
        spec = self._spec
        if spec.restart is Restart.NEVER or (spec.restart is Restart.ON_FAILURE and code == 0):
            return None
        if uptime >= spec.backoff_reset:
            self._delay = 0.0
        self._delay = min(max(2 * self._delay, spec.backoff_initial), spec.backoff_max)
        return self._delay
