"""How containers end, as kubectl tells it: last words, and limits that they keep to."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from tests.support.wait import PATIENCE
from tests.system.controller.live.conftest import WAIT, Kubectl

from tsujiban.agent import cgroups
from tsujiban.agent.cgroups import Groups
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


@pytest.fixture
def groups() -> Groups:
    found = cgroups.find()
    if found.memory is None or found.cpu is None:
        pytest.skip("this machine has no control groups that can be used")
    return found


HOG = "x = [bytearray(1 << 20) for _ in range(300)]; print('too much')"


def test_a_container_that_takes_more_memory_than_its_limit_is_killed(
    kubectl: Kubectl, groups: Groups
) -> None:
    limits = {"limits": {"memory": "64Mi", "cpu": "200M"}, "requests": {"cpu": "1m"}}
    free = container("free", f'python3 -c "{HOG}"')
    bound = container("tasks", f'python3 -c "{HOG}"', resources=limits)  # as a file of the kernel's is called
    create(kubectl, "hog", "Never", bound, free)
    try:
        assert until(lambda: len(states(kubectl, "hog", "state")) == 2, PATIENCE)
        found = states(kubectl, "hog", "state")
        assert (found["tasks"]["reason"], found["tasks"]["exitCode"]) == ("OOMKilled", 137)
        assert (found["free"]["reason"], kubectl("logs", "hog", "-c", "free")) == ("Completed", "too much\n")
        assert re.search(r"Reason:\s+OOMKilled\n\s+Exit Code:\s+137\n", kubectl("describe", "pod", "hog"))
    finally:
        kubectl("delete", "pod", "hog", "--now")


def test_commands_are_in_the_container_group_and_none_leaves_it(kubectl: Kubectl, groups: Groups) -> None:
    limits = {"limits": {"memory": "64Mi", "cpu": "250m"}}
    create(kubectl, "bound", "Always", container("c", "exec sleep 1000", resources=limits))
    try:
        kubectl("wait", "--for=condition=Ready", "pod/bound", WAIT)
        uid = kubectl("get", "pod", "bound", "-o", "jsonpath={.metadata.uid}")
        assert "/tsujiban/" in kubectl("exec", "bound", "--", "cat", "/proc/1/cgroup")
        assert kubectl("exec", "bound", "--", "cat", "/proc/self/cgroup") == kubectl(
            "exec", "bound", "--", "cat", "/proc/1/cgroup"
        )
        assert "Killed" in kubectl("exec", "bound", "--", "sh", "-c", f'python3 -c "{HOG}"', code=137)
        assert "No such file" in kubectl("exec", "bound", "--", "ls", "/sys/fs/cgroup/memory", code=2)
        assert groups.cpu is not None
        (place,) = groups.cpu.top.glob(f"tsujiban/*/{uid}/c-c")
        quota = (place / ("cpu.max" if groups.cpu.unified else "cpu.cfs_quota_us")).read_text()
        assert quota.split()[0] == "25000"
    finally:
        kubectl("delete", "pod", "bound", "--now")
    assert until(lambda: not place.parent.exists(), PATIENCE)


def test_a_pod_that_asks_for_more_than_any_node_has_waits_and_says_why(kubectl: Kubectl) -> None:
    create(kubectl, "greedy", "Always", container("c", "true", resources={"requests": {"memory": "1Pi"}}))
    try:
        kubectl("wait", "--for=condition=PodScheduled=false", "pod/greedy", WAIT)
        assert "0/2 nodes are available: 2 Insufficient memory." in kubectl("describe", "pod", "greedy")
        assert re.search(r"Allocatable:\n\s+cpu:\s+\d+\n\s+memory:\s+\d+Ki\n", kubectl("describe", "nodes"))
    finally:
        kubectl("delete", "pod", "greedy", "--now")
