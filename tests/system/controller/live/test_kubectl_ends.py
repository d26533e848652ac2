"""How containers end, as kubectl tells it: last words."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from tests.support.wait import PATIENCE
from tests.system.controller.live.conftest import Kubectl

from tsujiban.local.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def container(name: str, script: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "host", "command": ["sh", "-c", script], **fields}


def create(kubectl: Kubectl, name: str, policy: str, *containers: dict[str, Any]) -> None:
    spec = {"containers": containers, "restartPolicy": policy, "terminationGracePeriodSeconds": 0}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    kubectl("apply", "-f", "-", stdin=json.dumps(pod))


def states(kubectl: Kubectl, name: str, which: str) -> dict[str, dict[str, Any]]:
    status = json.loads(kubectl("get", "pod", name, "-o", "json"))["status"]
    return {
        one["name"]: one[which]["terminated"]
        for one in status.get("containerStatuses", ())
        if "terminated" in one.get(which, {})
    }


def test_last_words(kubectl: Kubectl) -> None:
    create(
        kubectl,
        "wordy",
        "Always",
        container("file", "[ -s /dev/termination-log ] || echo no disk >/dev/termination-log; exit 7"),
        container("log", "echo oops; exit 1", terminationMessagePolicy="FallbackToLogsOnError"),
    )
    again = "echo done >/etc/tsujiban-why; cat /etc/hostname"
    create(kubectl, "ended", "Never", container("c", again, terminationMessagePath="/etc/tsujiban-why"))
    try:
        assert until(lambda: len(states(kubectl, "wordy", "lastState")) == 2, PATIENCE)
        found = states(kubectl, "wordy", "lastState")
        assert (found["file"]["message"], found["file"]["exitCode"]) == ("no disk\n", 7)
        assert found["log"]["message"] == "oops\n"
        assert found["log"]["startedAt"] <= found["log"]["finishedAt"]
        described = kubectl("describe", "pod", "wordy")
        assert re.search(r"Last State:\s+Terminated\n\s+Reason:\s+Error\n\s+Message:\s+no disk\n", described)
        assert until(lambda: states(kubectl, "ended", "state") != {}, PATIENCE)
        assert states(kubectl, "ended", "state")["c"]["message"] == "done\n"
        assert kubectl("logs", "ended") == "ended\n"
    finally:
        kubectl("delete", "pod", "wordy", "ended", "--now", "--ignore-not-found")
