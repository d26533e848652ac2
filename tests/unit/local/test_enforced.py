from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.wait import PATIENCE

from tsujiban.local.client import Client
from tsujiban.local.enforced import Timeout, Waited, state, wait_for
from tsujiban.local.kubeconfig import Access
from tsujiban.resources.registry import resolve

ACCESS = Access("https://127.0.0.1:1", Path("ca"), Path("cert"), Path("key"))
POLICY = {"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": "all"}}
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}}
ACCOUNT = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "web"}}


def policy(status: str, observed: int, generation: int = 2) -> dict[str, Any]:
    condition = {"type": "Enforced", "status": status, "observedGeneration": observed, "message": "1/2 nodes"}
    return {
        **POLICY,
        "metadata": {"name": "all", "generation": generation},
        "status": {"conditions": [condition]},
    }


def deployment(available: int, observed: int = 1) -> dict[str, Any]:
    return {
        **DEPLOYMENT,
        "metadata": {"name": "web", "generation": 1},
        "spec": {"replicas": 2},
        "status": {"observedGeneration": observed, "availableReplicas": available, "updatedReplicas": 2},
    }


@pytest.mark.parametrize(
    ("obj", "done"),
    [
        (policy("True", 2), True),
        (policy("True", 3), True),
        (policy("True", 1), False),
        (policy("False", 2), False),
        (POLICY, False),
        *(({**POLICY, "status": status}, False) for status in ("x", ["x"], {"conditions": "x"})),
        *(({**POLICY, "status": {"conditions": [one]}}, False) for one in ("x", None, {}, {"type": 1})),
        ({**POLICY, "status": {"conditions": [{"type": "Enforced", "observedGeneration": "x"}]}}, False),
        ({**POLICY, "status": {"conditions": ["x", {"type": "Enforced", "status": "True"}]}}, False),
    ],
)
def test_a_policy_is_enforced_in_the_generation_that_was_applied(obj: dict[str, Any], done: bool) -> None:
    assert state(resolve("gnp"), obj)[0] is done


@pytest.mark.parametrize(
    ("obj", "done"), [(deployment(2), True), (deployment(1), False), (deployment(2, 0), False)]
)
def test_a_deployment_is_available(obj: dict[str, Any], done: bool) -> None:
    assert state(resolve("deployments"), obj)[0] is done


def test_waiting_reads_until_all_are_so() -> None:
    answers = [policy("False", 2), policy("True", 2), deployment(0), deployment(2)]

    def handle(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answers.pop(0))

    client = Client(ACCESS, httpx.MockTransport(handle))
    assert wait_for(client, [ACCOUNT, POLICY, DEPLOYMENT], PATIENCE) == Waited(1, 1, "1/2 nodes")
    assert answers == []


def test_waiting_ends() -> None:
    client = Client(
        ACCESS, httpx.MockTransport(lambda _request: httpx.Response(200, json=policy("False", 2)))
    )
    with pytest.raises(Timeout, match="1/2 nodes"):
        wait_for(client, [POLICY], 0.05)
