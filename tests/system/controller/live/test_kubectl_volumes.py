"""Secrets, tokens, ConfigMaps and the pod itself as files of a pod: they follow what they come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.wait import PATIENCE
from tests.system.controller.live.conftest import WAIT, Kubectl, content

from tsujiban.agent.node import MEMORY
from tsujiban.local.cluster import LocalCluster
from tsujiban.local.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

POD = """
apiVersion: v1
kind: Pod
metadata: {name: files, labels: {app: files, tier: one}, annotations: {note: one}}
spec:
  automountServiceAccountToken: false
  containers:
  - name: main
    image: host
    command: [sleep, infinity]
    readinessProbe: {exec: {command: ["true"]}, periodSeconds: 1}
    volumeMounts:
    - {name: keys, mountPath: /keys}
    - {name: keys, mountPath: /alone, subPath: password}
    - {name: all, mountPath: /all}
  volumes:
  - name: keys
    secret: {secretName: keys, defaultMode: 256}
  - name: all
    projected:
      sources:
      - serviceAccountToken: {path: vault/token, audience: vault, expirationSeconds: 600}
      - secret: {name: keys, items: [{key: password, path: secret/word}]}
      - secret: {name: later, optional: true}
      - configMap: {name: settings, optional: true}
      - downwardAPI:
          items:
          - {path: labels, fieldRef: {fieldPath: metadata.labels}}
          - {path: note, fieldRef: {fieldPath: "metadata.annotations['note']"}}
"""


def secret(name: str, value: str) -> str:
    metadata = {"name": name, "namespace": "default"}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"password": value}}
    return json.dumps(body)


def test_files_follow_what_they_come_from(kubectl: Kubectl, live: LocalCluster) -> None:
    def read(*paths: str) -> str:
        return kubectl("exec", "files", "--", "cat", *paths)

    def shown() -> list[str]:
        return kubectl("exec", "files", "--", "ls", "/all").split()

    kubectl("apply", "-f", "-", stdin=secret("keys", "first-word"))
    kubectl("apply", "-f", "-", stdin=POD)
    kubectl("wait", "--for=condition=Ready", "pod/files", WAIT)
    assert read("/keys/password", "/alone", "/all/secret/word") == "first-word" * 3
    assert read("/all/note") == "one"
    assert shown() == ["labels", "note", "secret", "vault"]
    modes = kubectl("exec", "files", "--", "stat", "-Lc", "%a %u", "/keys/password", "/all/vault/token")
    mine = kubectl("exec", "files", "--", "id", "-u").strip()
    assert modes.split("\n")[:2] == [f"400 {mine}", f"600 {mine}"]

    token = read("/all/vault/token")
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
    for audiences, good in ((["vault"], True), ([], False)):
        asked = json.dumps({**review, "spec": {"token": token, "audiences": audiences}})
        found = json.loads(kubectl("create", "-f", "-", "-o", "json", stdin=asked))["status"]
        assert bool(found.get("authenticated")) is good
    assert "serviceaccount" not in kubectl("exec", "files", "--", "sh", "-c", "cat /proc/self/mounts")

    kubectl("label", "pod", "files", "tier=two", "--overwrite")
    kubectl("annotate", "pod", "files", "note=two", "--overwrite")
    kubectl("apply", "-f", "-", stdin=secret("keys", "second-word"))
    kubectl("apply", "-f", "-", stdin=secret("later", "late"))
    kubectl("create", "configmap", "settings", "--from-literal=colour=blue")
    assert until(lambda: "colour" in shown() and "password" in shown(), PATIENCE)
    assert until(lambda: read("/keys/password", "/all/secret/word") == "second-word" * 2, PATIENCE)
    assert until(lambda: read("/all/note") == "two" and 'tier="two"' in read("/all/labels"), PATIENCE)
    assert read("/all/colour", "/all/password") == "bluelate"
    assert read("/alone") == "first-word"  # as in Kubernetes
    assert kubectl("get", "pod", "files", "-o", "jsonpath={.status.containerStatuses[0].restartCount}") == "0"
    kubectl("delete", "secret", "later")
    assert until(lambda: "password" not in shown(), PATIENCE)

    node = kubectl("get", "pod", "files", "-o", "jsonpath={.spec.nodeName}")
    kept = [path for path in Path(live.layout.state).rglob("*") if "controller" not in str(path)]
    assert any(path.name == MEMORY for path in kept)
    logs = list(Path(live.layout.run, node).rglob("*.log"))
    for path in (*kept, *logs):  # neither on the node's disk nor in a log
        assert b"second-word" not in content(path), path
        assert token.encode() not in content(path), path
    kubectl("delete", "pod", "files", "--wait=false")


def test_what_the_api_refuses_it_names(kubectl: Kubectl) -> None:
    bad = POD.replace("expirationSeconds: 600", "expirationSeconds: 300").replace(
        "name: keys, mountPath: /keys", "name: nokeys, mountPath: /keys"
    )
    said = kubectl("create", "-f", "-", code=1, stdin=bad)
    field = "spec.volumes[1].projected.sources[0].serviceAccountToken.expirationSeconds"
    assert f"{field}: Invalid value: 300: may not specify a duration less than 10 minutes" in said
    assert 'spec.containers[0].volumeMounts[0].name: Not found: "nokeys"' in said
