"""What runs pods beside Deployments, as people use it: daemons, with both kubectls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.system.controller.live.conftest import MANIFESTS, Kubectl

from tsujiban.local.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SECONDS = 90.0
WAIT = f"--timeout={SECONDS:.0f}s"


@pytest.fixture(scope="module")
def works(kubectl: Kubectl) -> Iterator[Kubectl]:
    kubectl("create", "namespace", "works")
    kubectl("apply", "-f", str(MANIFESTS / "workloads.yaml"))
    yield kubectl
    kubectl("delete", "namespace", "works", "--wait=false")


def there(kubectl: Kubectl, *words: str, code: int = 0) -> str:
    return kubectl("-n", "works", *words, code=code)


def found(kubectl: Kubectl, *words: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(there(kubectl, "get", *words, "-o", "json"))["items"]
    return items


def environments(kubectl: Kubectl) -> list[Any]:
    return [pod["spec"]["containers"][0].get("env") for pod in found(kubectl, "pods", "-l", "app=collector")]


def test_daemons_run_everywhere_and_roll_over_and_back(works: Kubectl, old_kubectl: Kubectl) -> None:
    assert "successfully rolled out" in there(works, "rollout", "status", "ds/collector", WAIT)
    pods = found(works, "pods", "-l", "app=collector")
    assert sorted(pod["spec"]["nodeName"] for pod in pods) == ["node-1", "node-2"]
    title, row = there(works, "get", "ds", "collector").splitlines()
    assert title.split()[:6] == ["NAME", "DESIRED", "CURRENT", "READY", "UP-TO-DATE", "AVAILABLE"]
    assert row.split()[1:6] == ["2"] * 5
    assert "Desired Number of Nodes Scheduled: 2" in there(works, "describe", "ds", "collector")
    assert "SuccessfulCreate" in there(works, "describe", "ds", "collector")
    works("drain", "node-2", "--ignore-daemonsets", "--pod-selector=app=collector", WAIT)
    works("uncordon", "node-2")
    assert found(works, "pods", "-l", "app=collector") == pods
    there(works, "set", "env", "ds/collector", "STEP=2")
    there(works, "annotate", "ds/collector", "kubernetes.io/change-cause=second", "--overwrite")
    assert "successfully rolled out" in there(old_kubectl, "rollout", "status", "ds/collector", WAIT)
    for kubectl in (works, old_kubectl):
        history = [line.split() for line in there(kubectl, "rollout", "history", "ds/collector").splitlines()]
        assert ["1", "first"] in history
        assert ["2", "second"] in history
    assert "STEP" in there(works, "rollout", "history", "ds/collector", "--revision=2")
    assert "rolled back" in there(works, "rollout", "undo", "ds/collector")
    there(works, "rollout", "status", "ds/collector", WAIT)
    assert until(lambda: environments(works) == [None, None], SECONDS)
    there(works, "rollout", "restart", "ds/collector")
    there(works, "rollout", "status", "ds/collector", WAIT)
    there(works, "delete", "ds", "collector", "--cascade=foreground", WAIT)
    assert found(works, "pods,controllerrevisions", "-l", "app=collector") == []
