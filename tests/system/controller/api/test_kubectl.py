"""The judge: the distribution's kubectl (package kubernetes-client) against our server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.support.apibed import ApiBed
from tests.support.wait import PATIENCE

pytestmark = pytest.mark.system

MANIFEST: list[dict[str, Any]] = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bank"}},
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "web", "namespace": "bank"}},
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "bank", "labels": {"app": "web"}},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "host", "command": ["sleep", "9"]}]},
            },
        },
    },
    {
        "apiVersion": "projectcalico.org/v3",
        "kind": "NetworkPolicy",
        "metadata": {"name": "default.web", "namespace": "bank"},
        "spec": {"selector": "app == 'web'", "types": ["Ingress"], "ingress": [{"action": "Allow"}]},
    },
]
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "one", "namespace": "bank", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "web", "image": "host"}]},
}


class Kubectl:
    """Runs kubectl with a home of its own, so that nothing is cached from another server."""

    def __init__(self, bed: ApiBed, home: Path) -> None:
        found = os.environ.get("TSUJIBAN_KUBECTL") or shutil.which("kubectl")
        assert found, "kubectl is missing: apt-get install kubernetes-client"
        self._program = found
        self._environment = {
            "HOME": str(home),
            "KUBECONFIG": str(bed.kubeconfig()),
            "PATH": os.environ["PATH"],
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self._program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
        )

    def run(self, *arguments: str, stdin: Any = None) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(None if stdin is None else yaml.safe_dump_all(stdin), timeout=PATIENCE)
        return process.returncode, out, err

    def __call__(self, *arguments: str, stdin: Any = None) -> str:
        code, out, err = self.run(*arguments, stdin=stdin)
        assert code == 0, f"kubectl {' '.join(arguments)}: {out}{err}"
        return out


@pytest.fixture
def kubectl(bed: ApiBed, tmp_path: Path) -> Kubectl:
    return Kubectl(bed, tmp_path / "home")


@pytest.fixture
def applied(kubectl: Kubectl) -> Kubectl:
    kubectl("apply", "-f", "-", stdin=[*MANIFEST, POD])
    return kubectl


def test_get_pods_and_policies(applied: Kubectl) -> None:
    shown = applied("get", "pods,networkpolicies.projectcalico.org", "-A").split()
    assert {"pod/one", "networkpolicy.projectcalico.org/default.web", "Pending", "TIER"} <= set(shown)


def test_apply_again_changes_nothing(applied: Kubectl) -> None:
    lines = applied("apply", "-f", "-", stdin=[*MANIFEST, POD]).splitlines()
    assert len(lines) == 5
    assert all(line.endswith(" unchanged") for line in lines), lines


def test_apply_and_our_apply_take_turns(bed: ApiBed, applied: Kubectl) -> None:
    admin = bed.user("second")
    with httpx.Client(base_url=bed.url, verify=bed.tls(admin), trust_env=False, timeout=PATIENCE) as client:
        answer = client.post("/tsujiban/v1/apply", json={"objects": [*MANIFEST, POD]}).json()
    assert [result["action"] for result in answer["results"]] == ["unchanged"] * 5
    lines = applied("apply", "-f", "-", stdin=[*MANIFEST, POD]).splitlines()
    assert all(line.endswith(" unchanged") for line in lines), lines


def test_change_by_apply_patch_label_annotate_replace(applied: Kubectl) -> None:
    changed = json.loads(json.dumps(MANIFEST[2]))
    changed["spec"]["replicas"] = 3
    del changed["metadata"]["labels"]
    assert applied("apply", "-f", "-", stdin=[changed]).strip() == "deployment.apps/web configured"
    found = json.loads(applied("get", "deploy", "web", "-n", "bank", "-o", "json"))
    assert found["spec"]["replicas"] == 3
    assert "labels" not in found["metadata"]
    applied("-n", "bank", "patch", "deploy", "web", "-p", '{"spec":{"replicas":4}}')
    applied(
        "-n",
        "bank",
        "patch",
        "deploy",
        "web",
        "--type=json",
        "-p",
        '[{"op":"remove","path":"/spec/replicas"}]',
    )
    applied("-n", "bank", "label", "deploy", "web", "x=z")
    applied("-n", "bank", "annotate", "deploy", "web", "note=hello")
    found = json.loads(applied("get", "deploy", "-n", "bank", "-l", "x=z", "-o", "json"))["items"][0]
    assert found["spec"]["replicas"] == 1  # its default
    assert found["metadata"]["annotations"]["note"] == "hello"
    found["spec"]["replicas"] = 5
    applied("replace", "-f", "-", stdin=[found])
    assert applied("get", "deploy", "web", "-n", "bank", "-o", "jsonpath={.spec.replicas}") == "5"


def test_wide_and_other_outputs(applied: Kubectl) -> None:
    assert "CONTAINERS" in applied("get", "deployments", "-A", "-o", "wide")
    assert applied("get", "po", "one", "-n", "bank", "-o", "name").strip() == "pod/one"
    assert yaml.safe_load(applied("get", "ns", "bank", "-o", "yaml"))["kind"] == "Namespace"
    assert applied(
        "get", "po", "-n", "bank", "--field-selector", "metadata.name=one", "--no-headers"
    ).startswith("one")
    assert "projectcalico.org/v3" in applied("api-versions").split()
    resources = applied("api-resources", "--namespaced=false", "-o", "name").split()
    assert {"nodes", "globalnetworkpolicies.projectcalico.org"} <= set(resources)
    assert "app=web" in applied("describe", "pod", "one", "-n", "bank")


def test_refusals_are_readable(kubectl: Kubectl) -> None:
    bad = json.loads(json.dumps(MANIFEST[3]))
    bad["metadata"]["namespace"] = "default"
    bad["spec"]["selector"] = "app =="
    bad["spec"]["nonsense"] = 1
    code, _, err = kubectl.run("apply", "-f", "-", stdin=[bad])
    assert code == 1
    assert "spec.nonsense" in err
    code, _, err = kubectl.run("get", "pod", "none")
    assert (code, err.strip()) == (1, 'Error from server (NotFound): pods "none" not found')
    code, _, err = kubectl.run("create", "-f", "-", stdin=[POD])
    assert 'namespaces "bank" not found' in err


def test_delete_waits_until_it_is_gone(applied: Kubectl) -> None:
    assert applied("delete", "pod", "one", "-n", "bank").strip() == 'pod "one" deleted'
    assert applied.run("get", "pod", "one", "-n", "bank")[0] == 1
    applied("delete", "deploy", "--all", "-n", "bank")
    assert applied("get", "deploy", "-n", "bank") == ""


def test_wait_and_watch(applied: Kubectl) -> None:
    watch = applied.start("get", "pods", "-n", "bank", "--watch", "-o", "name")
    assert watch.stdout is not None
    try:
        assert watch.stdout.readline().strip() == "pod/one"
        waiting = applied.start("wait", "--for=delete", "pod/one", "-n", "bank", f"--timeout={PATIENCE:.0f}s")
        other = json.loads(json.dumps(POD))
        other["metadata"]["name"] = "two"
        applied("create", "-f", "-", stdin=[other])
        assert watch.stdout.readline().strip() == "pod/two"
        applied("delete", "pod", "one", "-n", "bank")
        deadline = time.monotonic() + PATIENCE
        assert waiting.wait(deadline - time.monotonic()) == 0
        waiting.communicate()
    finally:
        watch.kill()
        watch.communicate()


def test_version(kubectl: Kubectl) -> None:
    assert "tsujiban" in kubectl("version", "-o", "json")
