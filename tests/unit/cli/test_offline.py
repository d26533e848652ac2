"""Files for the offline commands: what of them counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsujiban.cli import offline
from tsujiban.cli.errors import Failure

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
