"""YAML in a test to a world that can be asked."""

from __future__ import annotations

from textwrap import dedent

from tsujiban.policy.offline import OfflineWorld
from tsujiban.policy.program import Action
from tsujiban.resources.load import LoadedObject, read

PODS = """
apiVersion: v1
kind: Namespace
metadata: {name: x, labels: {team: red}}
---
apiVersion: v1
kind: Namespace
metadata: {name: y, labels: {team: blue}}
---
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: x, labels: {app: a}, uid: ua}
spec:
  nodeName: n1
  serviceAccountName: sa
  containers: [{name: c, image: host, ports: [{name: web, containerPort: 80}]}]
status: {phase: Running, podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: x, labels: {app: b}, uid: ub}
spec: {nodeName: n2, serviceAccountName: sb, containers: [{name: c, image: host}]}
status: {phase: Running, podIPs: [{ip: 10.0.0.2}]}
---
apiVersion: v1
kind: Pod
metadata: {name: c, namespace: y, labels: {app: b}, uid: uc}
spec: {nodeName: n2, containers: [{name: c, image: host}]}
status: {phase: Running, podIPs: [{ip: 10.0.0.3}]}
"""
"""Three pods: x/a (port `web` 80), x/b, y/c."""


def host(name: str, number: int, *pods: str) -> str:
    """A node's host endpoint that lets everything pass, and pods on the node's own network."""
    endpoint = f"""
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {{name: {name}}}
spec:
  node: n{number}
  interfaceName: eth0
  expectedIPs: [172.16.0.{number}]
  profiles: [projectcalico-default-allow]
"""
    return "---".join((endpoint, *(host_pod(pod, number) for pod in pods)))


def host_pod(name: str, number: int) -> str:
    """A pod on the network of a node."""
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: app}}
spec: {{nodeName: n{number}, hostNetwork: true, containers: [{{name: c, image: i}}]}}
status: {{podIP: 172.16.0.{number}}}
"""


def objects(*texts: str) -> list[LoadedObject]:
    """The objects of YAML texts; a finding fails the test."""
    loaded = read((f"{n}.yaml", dedent(text).encode()) for n, text in enumerate(texts))
    assert loaded.ok, [str(finding) for finding in loaded.findings]
    return loaded.objects


def world(*texts: str, strict: bool = False) -> OfflineWorld:
    """The three pods and what the texts add."""
    return OfflineWorld(objects(PODS, *texts), strict=strict)


def judge(
    where: OfflineWorld, source: str, destination: str, **clauses: object
) -> tuple[bool, tuple[str, ...]]:
    """Whether the flow is allowed, and by which rules."""
    verdict = where.evaluate(where.flow(where.end(source), where.end(destination), **clauses))
    return verdict.verdict is Action.ALLOW, verdict.decided_by
