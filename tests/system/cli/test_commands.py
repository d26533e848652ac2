"""The command line against a real cluster: one cluster for the module, commands as a user types them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.machine import unique_cluster
from tests.support.wait import PATIENCE

from tsujiban.local.demo import manifests
from tsujiban.local.down import down
from tsujiban.local.waiting import until

WAIT = ("--wait", f"--timeout={PATIENCE:.0f}")  # of `apply`
ENDS = PATIENCE + 60  # seconds, after which a command that may wait so long has ended
pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


class Shell:
    """Runs tsujiban commands on one cluster."""

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "tsujiban", words[0], "--cluster", self.cluster, *words[1:]]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(self.argv(*words), capture_output=True, text=True, timeout=ENDS)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def __call__(self, *words: str, code: int = 0) -> str:
        done = self.run(*words)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stdout + done.stderr

    def until(self, *words: str) -> str:
        """What it says when it succeeds: while a process stands still, the cluster is not well."""
        done: list[subprocess.CompletedProcess[str]] = []

        def succeeds() -> bool:
            done.append(self.run(*words))
            return done[-1].returncode == 0

        assert until(succeeds, PATIENCE), done[-1].stdout + done[-1].stderr
        return done[-1].stdout


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A name of its own. What has it is taken down when reports have been made, also of `shell`."""
    name = unique_cluster()
    yield name
    down(name)


@pytest.fixture(scope="module")
def shell(cluster: str) -> Shell:
    found = Shell(cluster)
    bank = manifests.folder()
    found("up")
    found("apply", "-f", str(bank / "apps.yaml"), "-f", str(bank / "bank.yaml"), *WAIT)
    found("apply", "-f", str(bank / "policy.yaml"), *WAIT)
    return found


def test_status_is_well_and_names_every_component(shell: Shell) -> None:
    text = shell.until("status")  # a proxy that is just taking a change is not well
    for name in ("controller", "agent", "kernel", "bird", "dns", "sidecar default/summary-"):
        assert name in text
    assert json.loads(shell.until("status", "-o", "json"))["healthy"]


def test_get_in_every_form(shell: Shell) -> None:
    assert until(lambda: "2/2 nodes" in shell("get", "gnp"), PATIENCE)
    assert "NODE" in shell("get", "pods", "-o", "wide")
    assert "kube-system" in shell("get", "namespaces") or "default" in shell("get", "ns")
    names = shell("get", "pods", "-l", "app=summary", "-o", "name").split()
    assert len(names) == 1
    assert names[0].startswith("pod/summary-")
    assert json.loads(shell("get", "service", "summary", "-o", "json"))["spec"]["ports"][0]["port"] == 8080
    assert "kind: Service" in shell("get", "svc/summary", "-o", "yaml")
    assert 'services "nothing" not found' in shell("get", "svc", "nothing", code=1)


def test_watch_shows_what_changes(shell: Shell) -> None:
    watching = subprocess.Popen(shell.argv("get", "configmaps", "-w"), stdout=subprocess.PIPE, text=True)
    try:
        assert watching.stdout is not None
        lines = iter(watching.stdout.readline, "")
        assert next(lines).startswith("NAME")
        assert next(lines).startswith("bank-apps")
        subprocess.run(
            shell.argv("apply", "-f", "-"),
            input="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fresh}\ndata: {a: b}\n",
            text=True,
            check=True,
            capture_output=True,
        )
        assert next(lines).startswith("fresh")
    finally:
        watching.terminate()
        watching.wait(PATIENCE)
    shell("delete", "configmap", "fresh")
    shell("get", "configmap", "fresh", code=1)


def test_describe_says_where_it_was_written(shell: Shell) -> None:
    words = ("describe", "networkpolicy.projectcalico.org/database-read-only")
    assert f"{manifests.folder() / 'policy.yaml'}:" in shell(*words)
    assert until(lambda: "EnforcedEverywhere" in shell(*words), PATIENCE)


def test_exec_runs_as_nobody_in_particular(shell: Shell) -> None:
    who = shell("exec", "deployment/summary", "--", "/usr/bin/id", "-u").strip()
    assert int(who) >= 300_000
    assert "10.96.0.10" in shell("exec", "deployment/summary", "--", "/bin/cat", "/etc/resolv.conf")
    shell("exec", "deployment/summary", "--", "/bin/sh", "-c", "exit 7", code=7)


def test_logs_of_a_container_and_of_its_sidecar(shell: Shell) -> None:
    words = ("logs", "deployment/database", "-c", "teller")
    assert until(lambda: "accounts are open" in shell(*words), PATIENCE)
    shell("logs", "deployment/summary", "-c", "sidecar", "--tail", "1")
    assert "It has: summary, sidecar." in shell("logs", "deployment/summary", "-c", "nothing", code=2)


def test_a_forward_goes_through_the_mesh_and_under_policy(shell: Shell) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = shell.argv("port-forward", "deployment/visitor", f"{port}:customer:8080")
    forwarding = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}/"
        assert until(lambda: answers(url), PATIENCE)
        assert "Aoi Tanaka" in httpx.get(url, trust_env=False, timeout=PATIENCE).text
        assert httpx.post(url, trust_env=False, timeout=PATIENCE).status_code == 403
    finally:
        forwarding.terminate()
        forwarding.wait(PATIENCE)

    def denied() -> list[dict[str, Any]]:
        lines = shell("flows", "--post", "proxy", "-o", "json").splitlines()
        posts = [flow for flow in map(json.loads, lines) if flow.get("method") == "POST"]
        return [flow for flow in posts if flow["verdict"] == "deny"]

    assert until(lambda: bool(denied()), PATIENCE)  # the record comes after the answer
    record = denied()[-1]
    assert record["peer"].endswith("/sa/visitor")
    assert record["rule"] == "default/customer-get-only/ingress/1"


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=PATIENCE).status_code == 200
    except httpx.TransportError:
        return False


def test_explain_cites_rule_file_and_line(shell: Shell) -> None:
    words = ("--port", "2379", "--method", "POST", "--path", "/v3/kv/put")
    text = shell("explain", "customer", "database", *words)
    assert "deny" in text.splitlines()[-1]
    assert "default/database-read-only/ingress/1" in text
    assert "policy.yaml:" in text


def test_bad_input_is_refused_whole_with_every_error_and_its_place(shell: Shell, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: good}\n---\n"
        "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: bad}\n"
        "spec:\n  selector: app == 'x\n  colour: red\n"
    )
    text = shell("apply", "-f", str(bad), code=2)
    assert f"{bad}:9:3: error:" in text
    assert f"{bad}:10:3: error:" in text
    assert "2 errors; nothing was changed" in text
    tier = tmp_path / "tier.yaml"
    tier.write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: good}\n---\n"
        "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: nope.bad}\n"
        "spec:\n  tier: nope\n  selector: all()\n"
    )
    text = shell("apply", "-f", str(tier), code=2)
    assert f"{tier}:9:3: error:" in text
    assert "there is no tier 'nope'" in text
    shell("get", "configmap", "good", code=1)


def test_a_dry_run_changes_nothing(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: dry}\n")
    assert "configmap/dry created (dry run)" in shell("apply", "-f", str(path), "--dry-run", "server")
    assert "1 objects are well formed" in shell("apply", "-f", str(path), "--dry-run", "client")
    shell("get", "configmap", "dry", code=1)


def test_an_unchanged_apply_says_so_and_waits_for_nothing(shell: Shell) -> None:
    text = shell.until("apply", "-f", str(manifests.folder() / "policy.yaml"), "--wait", "--timeout", "0")
    assert text.count("unchanged") == 5
    assert "enforced on 2/2 nodes" in text


def test_the_bank_opens_in_no_cluster_that_is_there(shell: Shell) -> None:
    evening = [sys.executable, "-m", "tsujiban", "demo", "bank", "--cluster", shell.cluster]
    done = subprocess.run(evening, capture_output=True, text=True, timeout=ENDS)
    assert done.returncode == 2
    assert f"tsujiban down --keep-state --cluster {shell.cluster}" in done.stderr
    shell.until("status")  # its owner is untouched


COMPLETE = r"""
tsujiban() { "$PYTHON" -m tsujiban "$@"; }
source <(tsujiban completion bash)
compopt() { :; }  # there is no line to change
for COMP_LINE in "$@"; do
    COMP_POINT=${#COMP_LINE}
    _tsujiban_completion tsujiban
    echo "${COMPREPLY[*]}"
done
"""


def test_names_complete_from_the_running_cluster(shell: Shell) -> None:
    lines = {
        "tsujiban get service sum": ["summary"],
        "tsujiban logs deployment/database -c tel": ["teller"],
        "tsujiban exec deployment/summary -n def": ["default"],
        "tsujiban describe clusterrole system:disc": ["discovery"],  # bash has kept `system:`
    }
    found: list[list[str]] = []

    def complete() -> bool:
        """Whether all were found: who asks for a word is not kept waiting by a cluster that is slow."""
        done = subprocess.run(
            ["bash", "-c", COMPLETE, "bash", *lines],
            env={**os.environ, "PYTHON": sys.executable, "TSUJIBAN_CLUSTER": shell.cluster},
            capture_output=True,
            text=True,
            timeout=ENDS,
        )
        found[:] = [line.split() for line in done.stdout.splitlines()]
        return found == list(lines.values())

    assert until(complete, PATIENCE), found
