import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tsujiban.agent import containers, sandbox_init
from tsujiban.agent.containers import Place
from tsujiban.resources.kinds.core import Pod
from tsujiban.supervise.spec import Restart

PLACE = Place(
    cluster="c",
    node="node-1",
    node_run=Path("/run/tsujiban/c/node-1"),
    slot=7,
    addresses=("10.244.0.5",),
    host_ip="172.31.255.11",
    dns_address="10.96.0.10",
)


def _pod(spec: dict[str, Any], container: dict[str, Any] | None = None) -> Pod:
    base = {"name": "web", "image": "host", "command": ["sleep", "1"], **(container or {})}
    data = {
        "metadata": {"name": "web-1", "namespace": "shop", "uid": "u-1"},
        "spec": {"containers": [base], **spec},
    }
    return msgspec.convert(data, Pod)


def _config(plan: containers.ContainerPlan) -> dict[str, Any]:
    assert plan.process is not None
    config = json.loads(plan.process.env[sandbox_init.VARIABLE])
    assert isinstance(config, dict)
    return config


def test_a_container_is_an_unprivileged_process_of_the_pods_user() -> None:
    pod = _pod(
        {},
        {
            "args": ["$(IP)"],
            "workingDir": "/srv",
            "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        },
    )
    (plan,) = containers.plan(pod, PLACE)
    assert plan.reason == ""
    assert plan.process is not None
    assert plan.process.name == "node-1/pods/u-1/web"
    assert plan.process.name.startswith(containers.pod_prefix("node-1", "u-1"))
    config = _config(plan)
    assert (config["uid"], config["gid"], config["cwd"]) == (300007, 300007, "/srv")
    assert "argv" not in config
    where = "/run/tsujiban/c/node-1/sandboxes/u-1/env/web"
    assert (config["given"], plan.process.needs) == (where, where)
    argv, variables = containers.given(pod, "web", PLACE, ())
    assert argv == ("sleep", "1", "10.244.0.5")
    assert variables == {"IP": "10.244.0.5"}


def test_a_security_context_gives_nothing() -> None:
    asking = {"securityContext": {"runAsUser": 0, "privileged": True, "capabilities": {"add": ["NET_ADMIN"]}}}
    assert _config(containers.plan(_pod({}, asking), PLACE)[0]) == _config(
        containers.plan(_pod({}), PLACE)[0]
    )


@pytest.mark.parametrize(
    ("spec", "container", "reason", "word"),
    [
        ({}, {"image": "nginx:1"}, "ErrImagePull", "nginx:1"),
        ({}, {"command": []}, "CreateContainerConfigError", "command"),
        ({"ephemeralContainers": [{"name": "i"}]}, {}, "CreateContainerConfigError", "ephemeralContainers"),
        ({"hostNetwork": True}, {}, "CreateContainerConfigError", "hostNetwork"),
        ({"hostPID": True}, {}, "CreateContainerConfigError", "hostPID"),
        ({"restartPolicy": "Maybe"}, {}, "CreateContainerConfigError", "Maybe"),
        ({}, {"readinessProbe": {}}, "CreateContainerConfigError", "probe"),
        ({}, {"volumeMounts": [{"name": "x", "mountPath": "/x"}]}, "CreateContainerConfigError", "'x'"),
    ],
)
def test_what_cannot_run_says_why(
    spec: dict[str, Any], container: dict[str, Any], reason: str, word: str
) -> None:
    (plan,) = containers.plan(_pod(spec, container), PLACE)
    assert (plan.process, plan.reason) == (None, reason)
    assert word in plan.message


def test_one_bad_container_does_not_take_the_other_along() -> None:
    pod = _pod({})
    bad = msgspec.structs.replace(pod.spec.containers[0], name="bad", image="nginx")
    pod = msgspec.structs.replace(
        pod, spec=msgspec.structs.replace(pod.spec, containers=(*pod.spec.containers, bad))
    )
    assert [plan.reason for plan in containers.plan(pod, PLACE)] == ["", "ErrImagePull"]


def test_a_slot_out_of_range_is_refused() -> None:
    for slot in (-1, containers.MAX_SLOTS):
        assert containers.plan(_pod({}), replace(PLACE, slot=slot))[0].process is None


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("", Restart.ALWAYS), ("OnFailure", Restart.ON_FAILURE), ("Never", Restart.NEVER)],
)
def test_restart_policy_and_grace(policy: str, expected: Restart) -> None:
    (plan,) = containers.plan(_pod({"restartPolicy": policy, "terminationGracePeriodSeconds": 3}), PLACE)
    assert plan.process is not None
    assert (plan.process.restart, plan.process.grace) == (expected, 3)


def test_users_of_pods_and_sidecars_never_meet() -> None:
    last = replace(PLACE, slot=containers.MAX_SLOTS - 1)
    assert last.sidecar_uid < PLACE.container_uid - PLACE.slot
    assert (PLACE.sidecar_uid, PLACE.container_uid) == (200007, 300007)


def test_a_long_pod_name_is_still_a_hostname() -> None:
    pod = _pod({})
    pod = msgspec.structs.replace(
        pod, metadata=msgspec.structs.replace(pod.metadata, name="a" * 62 + "-." + "b" * 100)
    )
    assert containers.sandbox_of(pod, PLACE).names.hostname == "a" * 62
