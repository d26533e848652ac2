"""Nodes as an operator handles them: closed, emptied, lost, and back."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
from typing import Any

import pytest
from tests.support.wait import PATIENCE
from tests.system.controller.live.conftest import WAIT, Kubectl

from tsujiban.local import specs
from tsujiban.local.cluster import LocalCluster
from tsujiban.local.waiting import until
from tsujiban.supervise.client import SupervisorClient

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

LEAVER = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "leaver"},
    "spec": {
        "nodeName": "node-2",
        "tolerations": [
            {
                "key": "node.kubernetes.io/unreachable",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 1,
            }
        ],
        "containers": [{"name": "main", "image": "host", "command": ["sleep", "infinity"]}],
    },
}


def places(kubectl: Kubectl, app: str) -> list[str]:
    """Nodes of the pods that are ready and stay."""
    found = json.loads(kubectl("get", "pods", "-l", f"app={app}", "-o", "json"))["items"]
    return sorted(
        pod["spec"]["nodeName"]
        for pod in found
        if "deletionTimestamp" not in pod["metadata"]
        and any(
            c["type"] == "Ready" and c["status"] == "True"
            for c in pod.get("status", {}).get("conditions", ())
        )
    )


def node(kubectl: Kubectl, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl("get", "node", name, "-o", "json"))
    return found


def test_a_node_shows_its_heartbeats(kubectl: Kubectl) -> None:
    text = kubectl("describe", "node", "node-1")
    assert "HolderIdentity:  node-1" in text
    assert "AgentReady" in text
    assert re.search(rf"Kernel Version: +{re.escape(os.uname().release)}\n", text)


def test_cordon_drain_within_a_budget_and_uncordon(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "moved", "--image=host", "--replicas=2", "--", "sleep", "infinity")
    try:
        assert until(lambda: places(kubectl, "moved") == ["node-1", "node-2"], PATIENCE)
        kubectl("create", "pdb", "moved", "--selector=app=moved", "--min-available=2")
        kubectl("wait", "--for=jsonpath={.status.currentHealthy}=2", "pdb/moved", WAIT)
        title, row = kubectl("get", "pdb", "moved").splitlines()
        assert " ".join(title.split()) == "NAME MIN AVAILABLE MAX UNAVAILABLE ALLOWED DISRUPTIONS AGE"
        assert row.split()[:4] == ["moved", "2", "N/A", "0"]
        drain = kubectl.start("drain", "node-2", "--pod-selector=app=moved", WAIT)
        assert drain.stdout is not None
        held = "Cannot evict pod as it would violate the pod's disruption budget"
        seen = list(itertools.takewhile(lambda line: held not in line, drain.stdout))
        assert drain.poll() is None, "".join(seen)
        assert places(kubectl, "moved") == ["node-1", "node-2"]
        kubectl("patch", "pdb", "moved", "-p", '{"spec":{"minAvailable":1}}')
        drained = "".join(seen) + drain.communicate(timeout=PATIENCE)[0]
        assert drain.returncode == 0, drained
        assert "evicting pod default/moved-" in drained
        assert "SchedulingDisabled" in kubectl("get", "node", "node-2")
        assert "Unschedulable:      true" in kubectl("describe", "node", "node-2")
        assert until(lambda: places(kubectl, "moved") == ["node-1", "node-1"], PATIENCE)
        kubectl("wait", "--for=jsonpath={.status.disruptionsAllowed}=1", "pdb/moved", WAIT)
        assert "disruptedPods" not in kubectl("get", "pdb", "moved", "-o", "yaml")
    finally:
        kubectl("uncordon", "node-2")
        kubectl("delete", "deployment,pdb", "moved")
    assert until(lambda: "taints" not in node(kubectl, "node-2")["spec"], PATIENCE)


def test_pods_of_a_lost_node_go_when_their_patience_ends(kubectl: Kubectl, live: LocalCluster) -> None:
    def agent(run: bool) -> None:
        async def change() -> None:
            async with SupervisorClient(live.layout.supervisor_socket) as supervisor:
                specification = specs.agent(live.layout, "node-2")
                await (supervisor.start(specification) if run else supervisor.stop(specification.name))

        asyncio.run(change())

    def lease(name: str) -> str:
        return kubectl("get", "lease", "-n", "kube-node-lease", name, "-o", "jsonpath={.spec.renewTime}")

    first, last = lease("node-1"), lease("node-2")
    kubectl("create", "-f", "-", stdin=json.dumps(LEAVER))
    kubectl("wait", "--for=condition=Ready", "pod/leaver", WAIT)
    agent(run=False)
    try:
        kubectl("wait", "--for=condition=Ready=Unknown", "node/node-2", WAIT)
        kubectl("wait", "--for=condition=DisruptionTarget", "pod/leaver", WAIT)
        # the node may still run it
        assert until(lambda: "Terminating" in kubectl("get", "pod", "leaver"), PATIENCE)
    finally:
        agent(run=True)
    kubectl("wait", "--for=condition=Ready", "node/node-2", WAIT)
    kubectl("wait", "--for=delete", "pod/leaver", WAIT)
    assert until(lambda: lease("node-1") > first and lease("node-2") > last, PATIENCE)
