"""What is done when a container has started and before it is stopped, and which containers may ask for it.

Source: the answers of Kubernetes' API server to such pods (v1.34).
"""

from __future__ import annotations

from tsujiban.resources.kinds import core, parts
from tsujiban.resources.positions import Path
from tsujiban.resources.shape import convert
from tsujiban.resources.validate.report import Report

_NOT_FIRST = "Forbidden: may not be set for init containers without restartPolicy=Always"


def check(container: core.Container, path: Path, report: Report, *, first: bool) -> None:
    """A container; `first` says that it is an init container."""
    if first and container.restart_policy != "Always":
        for field, value in (
            ("lifecycle", container.lifecycle),
            ("livenessProbe", container.liveness_probe),
            ("readinessProbe", container.readiness_probe),
            ("startupProbe", container.startup_probe),
        ):
            if value is not None:
                report.error((*path, field), "conflict", _NOT_FIRST)
    if container.lifecycle is None:
        return
    found, problems = convert(container.lifecycle, parts.Lifecycle, nulls=False)
    report.within((*path, "lifecycle"), problems)
    if found is not None:
        for field, handler in (("postStart", found.post_start), ("preStop", found.pre_stop)):
            if handler is not None:
                _handler(handler, (*path, "lifecycle", field), report)


def _handler(handler: parts.LifecycleHandler, path: Path, report: Report) -> None:
    named = (
        ("exec", handler.exec),
        ("httpGet", handler.http_get),
        ("tcpSocket", handler.tcp_socket),
        ("sleep", handler.sleep),
    )
    found = [field for field, value in named if value is not None]
    if not found:
        report.error(path, "missing-field", "Required value: must specify a handler type")
    for field in found[1:]:
        report.error((*path, field), "conflict", "Forbidden: may not specify more than 1 handler type")
    if handler.exec is not None and not handler.exec.command:
        report.error((*path, "exec", "command"), "missing-field", "Required value")
    if handler.sleep is not None and handler.sleep.seconds < 0:
        rule = "must be non-negative and less than terminationGracePeriodSeconds"
        message = f"Invalid value: {handler.sleep.seconds}: {rule}"
        report.error((*path, "sleep", "seconds"), "out-of-range", message)
