"""kubectl 1.20, the oldest that is promised to work: what it asks for otherwise than new ones.

It finds kinds without aggregated discovery, reads the schema as OpenAPI 2.0 in protobuf (where it also looks
for what takes a dry run), and speaks SPDY alone.
"""

from __future__ import annotations

import re

import httpx
import pytest
from tests.support.wait import PATIENCE
from tests.system.controller.live.conftest import WAIT, Kubectl, quiet, read_line

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SET = """
apiVersion: v1
kind: Namespace
metadata: {name: oldest}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: oldest}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: host, command: [sleep, infinity]}]}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: web, namespace: oldest}
spec: {selector: app == "web", order: 10}
"""


def test_it_applies_compares_explains_and_waits(old_kubectl: Kubectl) -> None:
    assert '"v1.20' in old_kubectl("version", "--client", "-o", "json")
    old_kubectl("apply", "-f", "-", stdin=SET)
    old_kubectl("rollout", "status", "-n", "oldest", "deployment/web", WAIT)
    quiet(old_kubectl, "-f", "-", stdin=SET)
    changed = SET.replace("order: 10", "order: 11").replace("replicas: 1", "replicas: 2")
    shown = old_kubectl("diff", "-f", "-", code=1, stdin=changed)
    assert "+  order: 11" in shown
    assert "+  replicas: 2" in shown
    assert old_kubectl("apply", "--dry-run=server", "-f", "-", stdin=changed).count("(server dry run)") == 3
    assert "serverside-applied" in old_kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=SET
    )
    wrong = SET.replace("replicas:", "replikas:")
    assert 'unknown field "replikas"' in old_kubectl("apply", "-f", "-", code=1, stdin=wrong)
    assert "applyOnForward" in old_kubectl(
        "explain", "globalnetworkpolicy.spec", "--api-version=projectcalico.org/v3"
    )
    assert old_kubectl("explain", "pod.spec.containers.livenessProbe.httpGet").count("A GET request.") == 1
    old_kubectl("scale", "-n", "oldest", "deployment/web", "--replicas=0")
    assert "0 desired" in old_kubectl("describe", "-n", "oldest", "deployment/web")
    old_kubectl("delete", "namespace", "oldest", WAIT)


def test_it_reaches_into_pods(pods: Kubectl, old_kubectl: Kubectl) -> None:
    assert old_kubectl("exec", "-i", "talker", "--", "cat", stdin="hello") == "hello"
    assert "line" in old_kubectl("logs", "talker", "--tail=1")
    client = old_kubectl.start("port-forward", "pod/web", ":8080")
    try:
        port = re.search(r"127\.0\.0\.1:(\d+) -> 8080", read_line(client))
        assert port
        answer = httpx.get(f"http://127.0.0.1:{port[1]}/", trust_env=False, timeout=PATIENCE)
        assert "sources.list" in answer.text
    finally:
        client.kill()
        client.communicate()
