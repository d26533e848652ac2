"""A container's environment from Secrets and ConfigMaps, as people make and change it with kubectl."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.wait import PATIENCE
from tests.system.controller.live.conftest import WAIT, Kubectl, content

from tsujiban.local.cluster import LocalCluster
from tsujiban.local.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

POD = """
apiVersion: v1
kind: Pod
metadata: {name: given, labels: {tier: one}}
spec:
  hostAliases: [{ip: 192.0.2.7, hostnames: [alias.example]}]
  dnsConfig: {options: [{name: ndots, value: "2"}]}
  volumes:
  - {name: share, emptyDir: {}}
  initContainers:
  - name: prepare
    image: host
    command: [sh, -c, "echo $S_colour > /share/prepared"]
    envFrom: [{prefix: S_, configMapRef: {name: settings}}]
    volumeMounts: [{name: share, mountPath: /share}]
  - name: beside
    image: host
    restartPolicy: Always
    command: [sh, -c, "echo begun; until [ -e $0/bye ]; do sleep 0.1; done; echo bye; touch $0/seen", /share]
    lifecycle: {postStart: {exec: {command: [cp, /share/prepared, /share/copied]}}}
    volumeMounts: [{name: share, mountPath: /share}]
  containers:
  - name: main
    lifecycle:
      preStop:
        exec: {command: [sh, -c, "touch /share/bye; until [ -e /share/seen ]; do sleep 0.1; done"]}
    volumeMounts: [{name: share, mountPath: /share}]
    image: host
    command: [sh, -c, "echo $0 > ~/word; until [ -e ~/stop ]; do sleep 0.1; done", $(WORD)]
    resources: {limits: {memory: 64Mi}}
    envFrom:
    - {prefix: S_, configMapRef: {name: settings}}
    - {secretRef: {name: nowhere, optional: true}}
    env:
    - {name: WORD, valueFrom: {secretKeyRef: {name: keys, key: word}}}
    - {name: TIER, valueFrom: {fieldRef: {fieldPath: "metadata.labels['tier']"}}}
    - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
    - {name: URL, value: "$(S_colour)://$(KUBERNETES_SERVICE_HOST)/$$(TIER)"}
"""
SHOWN = {"WORD": "first-word", "TIER": "one", "MEMORY": "64", "S_colour": "blue", "S_x.y": "dotted"}


def test_an_environment_from_beginning_to_end(
    kubectl: Kubectl, old_kubectl: Kubectl, live: LocalCluster, tmp_path: Path
) -> None:
    kubectl("create", "namespace", "env")

    def run(*words: str, code: int = 0, stdin: str | None = None, by: Kubectl = kubectl) -> str:
        return by("-n", "env", *words, code=code, stdin=stdin)

    def variables() -> dict[str, str]:
        lines = run("exec", "given", "--", "env").splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def waiting() -> str:
        return run("get", "pod", "given", "--no-headers")

    lines = tmp_path / "settings.env"
    lines.write_text("# of the shop\ncolour=blue\nx.y=dotted\n")
    run("create", "configmap", "settings", f"--from-env-file={lines}", by=old_kubectl)
    run("apply", "-f", "-", stdin=POD)
    assert until(lambda: "CreateContainerConfigError" in waiting(), PATIENCE), waiting()
    said = 'Error: secret "keys" not found'
    assert until(lambda: said in run("describe", "pod", "given"), PATIENCE)
    message = "jsonpath={.status.containerStatuses[0].state.waiting.message}"
    assert until(lambda: run("get", "pod", "given", "-o", message) == 'secret "keys" not found', PATIENCE)

    run("create", "secret", "generic", "keys", "--from-literal=word=first-word", by=old_kubectl)
    run("wait", "--for=condition=Ready", "pod/given", WAIT)
    found = variables()
    assert {name: found.get(name) for name in SHOWN} == SHOWN
    assert found["URL"] == f"blue://{found['KUBERNETES_SERVICE_HOST']}/$(TIER)"
    assert run("exec", "given", "--", "sh", "-c", "cat ~/word") == "first-word\n"
    assert run("exec", "given", "--", "getent", "hosts", "alias.example").split() == [
        "192.0.2.7",
        "alias.example",
    ]
    assert "options ndots:2" in run("exec", "given", "--", "cat", "/etc/resolv.conf")
    shown = run("describe", "pod", "given")
    assert "<set to the key 'word' in secret 'keys'>" in shown
    assert "settings  ConfigMap with prefix 'S_'  Optional: false" in shown
    assert "first-word" not in shown

    run("patch", "secret", "keys", "-p", '{"stringData": {"word": "second-word"}}')
    run("label", "pod", "given", "tier=two", "--overwrite")
    process = live.process(live.process_name("env", "given", "main"))
    spec = json.dumps(live.specification(process.name).to_json())
    assert "word" not in spec
    restarts = "jsonpath={.status.containerStatuses[0].restartCount}"

    def restarted() -> bool:
        """Ask for a restart until it finds the new value: when the node has heard of it nobody tells."""
        before = run("get", "pod", "given", "-o", restarts)
        asking = kubectl.start("-n", "env", "exec", "given", "--", "sh", "-c", "touch ~/stop")
        asking.communicate(timeout=PATIENCE)  # with whatever: the container's end may be its own
        assert until(lambda: run("get", "pod", "given", "-o", restarts) != before, PATIENCE)
        run("wait", "--for=condition=Ready", "pod/given", WAIT)
        return variables()["WORD"] == "second-word"

    assert variables()["WORD"] == "first-word"  # what runs is left alone
    assert until(restarted, PATIENCE)
    assert variables()["TIER"] == "two"
    kept = [path for path in Path(live.layout.state).rglob("*") if "controller" not in str(path)]
    logs = Path(live.layout.run).rglob("*.log")
    for path in (*kept, *logs):
        assert b"second-word" not in content(path), path
    # beside the main container runs what hears of its end, and ends after it
    assert run("exec", "given", "--", "cat", "/share/copied") == "blue\n"
    assert until(lambda: waiting().split()[1:3] == ["2/2", "Running"], PATIENCE)
    last = kubectl.start("logs", "-n", "env", "-f", "given", "-c", "beside")
    assert last.stdout is not None
    assert last.stdout.readline() == "begun\n"  # it hears what comes from now on
    run("delete", "pod", "given")
    assert "bye" in last.communicate(timeout=PATIENCE)[0]


def alone(kubectl: Kubectl, selector: str) -> None:
    """Wait until there is one pod, and none that ends: kubectl would take either."""
    assert until(lambda: kubectl("get", "pods", "-l", selector, "-o", "name").count("pod/") == 1, PATIENCE)


def test_set_env_and_what_the_api_refuses(kubectl: Kubectl, old_kubectl: Kubectl, tmp_path: Path) -> None:
    for by, name in ((kubectl, "new"), (old_kubectl, "old")):

        def run(*words: str, code: int = 0, stdin: str | None = None, by: Kubectl = by) -> str:
            return by(*words, code=code, stdin=stdin)

        secret, target = f"keys-{name}", f"deployment/env-{name}"
        run("create", "secret", "generic", secret, "--from-literal=word=a", "--from-literal=other-key=b")
        run(
            "create", "secret", "docker-registry", f"pull-{name}", "--docker-server=s", "--docker-username=u",
            "--docker-password=p",
        )  # fmt: skip
        manifest = json.loads(
            run("create", "deployment", f"env-{name}", "--image=host", "--dry-run=client", "-o", "json")
        )
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        container["command"] = ["sleep", "infinity"]
        run("apply", "-f", "-", stdin=json.dumps(manifest))
        run("set", "env", target, f"--from=secret/{secret}", "--prefix=K_")
        run("set", "env", target, "PLAIN=x")
        listed = run("set", "env", target, "--list")
        assert f"# K_WORD from secret {secret}, key word" in listed
        assert "K_OTHER_KEY" in listed
        assert "K_WORD=a" in run("set", "env", target, "--list", "--resolve")
        run("rollout", "restart", target)
        run("rollout", "status", target, WAIT)
        alone(by, f"app=env-{name}")
        assert run("exec", target, "--", "sh", "-c", "echo $K_WORD$K_OTHER_KEY$PLAIN") == "abx\n"
        run("set", "env", target, "PLAIN-")
        assert "PLAIN" not in run("set", "env", target, "--list")
        run("delete", target, "--wait=false")
    bad = POD.replace("key: word", 'key: ""').replace("limits.memory", "limits.gpu")
    said = kubectl("create", "--validate=false", "-f", "-", code=1, stdin=bad)
    assert "spec.containers[0].env[0].valueFrom.secretKeyRef.key: Required value" in said
    assert 'env[2].valueFrom.resourceFieldRef.resource: Unsupported value: "limits.gpu"' in said
    wrong = POD.replace("secretKeyRef: {name: keys", "secretKeyRef: {nam: keys")
    said = kubectl("create", "-f", "-", code=1, stdin=wrong)
    assert 'unknown field "spec.containers[0].env[0].valueFrom.secretKeyRef.nam"' in said
    assert "divisor\t<" in kubectl("explain", "pod.spec.containers.env.valueFrom.resourceFieldRef")
