"""Hooks as the real server judges them."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.resources import load

NOT_FIRST = "Forbidden: may not be set for init containers without restartPolicy=Always"
HANDLER = {"exec": {"command": ["true"]}}


def told(container: dict[str, Any], first: dict[str, Any] | None = None) -> dict[str, str]:
    main = {"name": "c", "image": "host", **container}
    spec: dict[str, Any] = {"containers": [main]}
    if first is not None:
        spec["initContainers"] = [{"name": "i", "image": "host", **first}]
    raw = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"}, "spec": spec}
    return {finding.field.removeprefix("spec."): finding.message for finding in load.check(raw).findings}


def test_what_is_right() -> None:
    hooks = {"postStart": HANDLER, "preStop": {"sleep": {"seconds": 3}}, "stopSignal": "SIGUSR1"}
    beside = {"restartPolicy": "Always", "lifecycle": hooks, "startupProbe": HANDLER}
    assert told({"lifecycle": hooks}, beside) == {}


@pytest.mark.parametrize(
    ("lifecycle", "field", "message"),
    [
        ({"preStop": {}}, "preStop", "Required value: must specify a handler type"),
        (
            {"preStop": {**HANDLER, "sleep": {"seconds": 1}}},
            "preStop.sleep",
            "Forbidden: may not specify more than 1 handler type",
        ),
        ({"postStart": {"exec": {}}}, "postStart.exec.command", "Required value"),
        (
            {"preStop": {"sleep": {"seconds": -1}}},
            "preStop.sleep.seconds",
            "Invalid value: -1: must be non-negative and less than terminationGracePeriodSeconds",
        ),
        ({"preStart": HANDLER}, "preStart", "unknown field 'preStart'"),
    ],
)
def test_what_is_wrong(lifecycle: dict[str, Any], field: str, message: str) -> None:
    assert told({"lifecycle": lifecycle})[f"containers[0].lifecycle.{field}"] == message


@pytest.mark.parametrize("field", ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"])
def test_who_ends_before_the_others_begin_has_neither_hooks_nor_probes(field: str) -> None:
    value = {"preStop": HANDLER} if field == "lifecycle" else HANDLER
    assert told({}, {field: value}) == {f"initContainers[0].{field}": NOT_FIRST}
