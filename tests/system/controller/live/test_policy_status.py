"""What a policy's status tells, with kubectl 1.35: conditions to wait for, and columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.wait import PATIENCE
from tests.system.controller.live.conftest import WAIT, Kubectl

from tsujiban.local.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

POLICIES = """
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: status-calico}
spec: {order: 7, selector: status == "judged", types: [Ingress], ingress: [{action: Allow}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: status-kubernetes, namespace: default}
spec: {podSelector: {matchLabels: {status: judged}}, ingress: [{}]}
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: status-admin}
spec: {priority: 7, subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {status: judged}}}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: status-istio, namespace: default}
spec: {selector: {matchLabels: {status: judged}}, rules: [{}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: status-peer, namespace: default}
spec: {selector: {matchLabels: {status: judged}}, mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: status-request, namespace: default}
spec: {selector: {matchLabels: {status: judged}}}
"""
NAMES = (
    "gnp/status-calico",
    "networkpolicies.networking.k8s.io/status-kubernetes",
    "anp/status-admin",
    "authorizationpolicy/status-istio",
    "peerauthentication/status-peer",
    "requestauthentication/status-request",
)
POD = """
apiVersion: v1
kind: Pod
metadata: {name: judged, namespace: default, labels: {status: judged}}
spec:
  containers: [{name: main, image: host, command: [sleep, infinity]}]
"""


@pytest.fixture(scope="module")
def policies(kubectl: Kubectl) -> Iterator[Kubectl]:
    kubectl("apply", "-f", "-", stdin=POLICIES)
    yield kubectl
    kubectl("delete", "--ignore-not-found", "-f", "-", stdin=f"{POLICIES}---{POD}")


def status(kubectl: Kubectl, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl("get", name, "-o", "json"))["status"]
    return found


def wide(kubectl: Kubectl, name: str) -> dict[str, str]:
    """The row of `get -o wide`, by title."""
    titles, row = kubectl("get", name, "-o", "wide").splitlines()
    starts = [titles.index(title) for title in titles.split()]
    ends = [*starts[1:], None]
    return {titles[a:b].strip(): row[a:b].strip() for a, b in zip(starts, ends, strict=True)}


def test_wait_for_conditions(policies: Kubectl) -> None:
    for condition in ("Accepted", "Enforced"):
        policies("wait", f"--for=condition={condition}", WAIT, *NAMES)
    for name in NAMES:
        assert until(lambda name=name: told(policies, name) == in_force(1), PATIENCE), told(policies, name)  # type: ignore[misc]
    assert until(lambda: "2/2 nodes" in policies("describe", "gnp", "status-calico"), PATIENCE)
    assert "Last Transition Time" in policies("describe", "gnp", "status-calico")


def told(kubectl: Kubectl, name: str) -> list[tuple[str, str, int, str]]:
    """What the conditions of a policy say; of the first, all but its words."""
    return [
        (one["type"], one["status"], one["observedGeneration"], one["message"] if place else "")
        for place, one in enumerate(status(kubectl, name)["conditions"])
    ]


def in_force(generation: int) -> list[tuple[str, str, int, str]]:
    """Of a policy that both nodes enforce. One that is out of reach for a moment, on a busy machine, is not
    among them then."""
    return [("Accepted", "True", generation, ""), ("Enforced", "True", generation, "2/2 nodes")]


def test_a_changed_policy_is_waited_for_anew(policies: Kubectl) -> None:
    policies("patch", "gnp", "status-calico", "--type=merge", "-p", '{"spec":{"order":8}}')
    policies("wait", "--for=condition=Enforced", WAIT, "gnp/status-calico")
    assert until(lambda: told(policies, "gnp/status-calico") == in_force(2), PATIENCE)

    def row() -> tuple[str, str, str]:
        found = wide(policies, "gnp/status-calico")
        return found["TIER"], found["ORDER"], found["ENFORCED"]

    assert until(lambda: row() == ("default", "8", "2/2 nodes"), PATIENCE), row()


def test_columns_tell_what_a_policy_selects(policies: Kubectl) -> None:
    def counted() -> set[str]:
        return {wide(policies, name)["SELECTS"] for name in NAMES}

    assert until(lambda: counted() == {"0 endpoints"}, PATIENCE)
    assert "SELECTS" not in policies("get", "gnp")
    policies("apply", "-f", "-", stdin=POD)
    assert until(lambda: counted() == {"1 endpoint"}, PATIENCE)


def test_what_is_true_is_not_written_again(policies: Kubectl) -> None:
    def versions() -> list[str]:
        found = json.loads(policies("get", *NAMES, "-o", "json"))["items"]
        return [one["metadata"]["resourceVersion"] for one in found]

    def stays() -> bool:
        """Whether noise that is heard by all changed nothing; of a pod that begins there is news to write."""
        policies("wait", "--for=condition=Enforced", WAIT, *NAMES)
        before = versions()
        policies("annotate", "node", "--all", "--overwrite", "tsujiban.io/test=status")
        policies("create", "configmap", "status-noise")
        policies("delete", "configmap", "status-noise")
        return versions() == before

    assert until(stays, PATIENCE)
