"""Files for the offline commands: what of them counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsujiban.cli import offline
from tsujiban.cli.errors import Failure
from tsujiban.policy.offline import OfflineWorld

POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a, namespace: n}
spec: {podSelector: {}}
"""
BROKEN_POD = """\
---
apiVersion: v1
kind: Pod
metadata: {name: broken, namespace: n}
spec: {containers: []}
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: n}
spec: {containers: [{name: c, image: host}]}
"""


def test_beside_endpoints_a_broken_workload_among_the_policies_does_not_matter(tmp_path: Path) -> None:
    policies, endpoints = tmp_path / "policies.yaml", tmp_path / "endpoints.yaml"
    policies.write_text(POLICY + BROKEN_POD)
    endpoints.write_text(POD)
    found = offline.load([policies], [endpoints])
    assert [one.title for one in found] == ["NetworkPolicy n/a", "Pod n/p"]
    with pytest.raises(Failure, match="1 error"):
        offline.load([policies])


def test_a_broken_policy_and_a_broken_endpoint_are_refused(tmp_path: Path) -> None:
    policies, endpoints = tmp_path / "policies.yaml", tmp_path / "endpoints.yaml"
    policies.write_text(POLICY.replace("podSelector", "podSelectr"))
    endpoints.write_text(POD)
    with pytest.raises(Failure, match="1 error"):
        offline.load([policies], [endpoints])
    policies.write_text(POLICY)
    endpoints.write_text(BROKEN_POD)
    with pytest.raises(Failure, match="1 error"):
        offline.load([policies], [endpoints])


def test_an_accepted_domain_is_no_address_and_a_denied_one_is_refused(tmp_path: Path) -> None:
    rule = "{action: ACTION, to: [{domainNames: [a.example]}]}, {action: Deny, to: [{networks: [0.0.0.0/0]}]}"
    text = (
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: a}\n"
        f"spec: {{tier: Admin, priority: 1, subject: {{namespaces: {{}}}}, egress: [{rule}]}}\n---\n{POD}"
    )
    policy = tmp_path / "policy.yaml"
    policy.write_text(text.replace("ACTION", "Accept"))
    world = OfflineWorld(offline.load([policy]))
    flow = world.flow(world.end("n/p"), world.end("192.0.2.1"), port=443)
    assert world.evaluate(flow).decided_by == ("_global/cnp:a/egress/1",)
    policy.write_text(text.replace("ACTION", "Deny"))
    with pytest.raises(Failure, match="1 error"):
        offline.load([policy])
