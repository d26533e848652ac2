from __future__ import annotations

import json
from typing import Any

from tsujiban.controller.api.three_way import LAST_APPLIED, merge, with_annotation


def deployment(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": spec}


def test_the_annotation_is_what_kubectl_writes() -> None:
    written = with_annotation(deployment(replicas=1))
    text = written["metadata"]["annotations"][LAST_APPLIED]
    as_kubectl = deployment(replicas=1)
    as_kubectl["metadata"]["annotations"] = {}
    assert json.loads(text) == as_kubectl
    assert text.endswith("\n")
    assert with_annotation(written) == written


def test_the_annotation_is_escaped_as_go_does() -> None:
    text = with_annotation(deployment(x="<a&b>"))["metadata"]["annotations"][LAST_APPLIED]
    assert "\\u003ca\\u0026b\\u003e" in text


def test_a_field_no_longer_written_goes() -> None:
    current = with_annotation(deployment(replicas=1, paused=True))
    assert merge(deployment(replicas=1), current)["spec"] == {"replicas": 1}


def test_what_others_wrote_stays() -> None:
    current = with_annotation(deployment(paused=True))
    current["spec"]["replicas"] = 7
    current["status"] = {"replicas": 7}
    current["metadata"]["labels"] = {"by": "controller"}
    merged = merge(deployment(paused=False), current)
    assert merged["spec"] == {"replicas": 7, "paused": False}
    assert merged["status"] == {"replicas": 7}
    assert merged["metadata"]["labels"] == {"by": "controller"}


def test_what_the_user_writes_wins() -> None:
    current = with_annotation(deployment(replicas=1))
    current["spec"]["replicas"] = 7
    assert merge(deployment(replicas=1), current)["spec"]["replicas"] == 1


def test_without_an_annotation_nothing_is_taken_away() -> None:
    current = deployment(paused=True)
    assert merge(deployment(replicas=1), current)["spec"] == {"paused": True, "replicas": 1}
    current["metadata"]["annotations"] = {LAST_APPLIED: "not json"}
    assert merge(deployment(replicas=1), current)["spec"] == {"paused": True, "replicas": 1}


def test_containers_are_merged_by_name() -> None:
    def of(*containers: dict[str, Any]) -> dict[str, Any]:
        return deployment(template={"spec": {"containers": list(containers)}})

    current = with_annotation(of({"name": "web", "image": "1"}, {"name": "old"}))
    containers = current["spec"]["template"]["spec"]["containers"]
    containers.append({"name": "injected"})
    containers[0]["resources"] = {"x": "1"}
    merged = merge(of({"name": "new"}, {"name": "web", "image": "2"}), current)
    assert merged["spec"]["template"]["spec"]["containers"] == [
        {"name": "new"},
        {"name": "web", "image": "2", "resources": {"x": "1"}},
        {"name": "injected"},
    ]


def test_lists_of_policies_are_one_value() -> None:
    def policy(*ports: int) -> dict[str, Any]:
        return {
            "apiVersion": "projectcalico.org/v3",
            "kind": "NetworkPolicy",
            "metadata": {"name": "a"},
            "spec": {"ports": [{"port": port} for port in ports]},
        }

    assert merge(policy(2), with_annotation(policy(1, 3)))["spec"] == policy(2)["spec"]


def test_applying_the_same_again_changes_nothing() -> None:
    current = with_annotation(deployment(replicas=1, containers=[{"name": "a"}]))
    assert merge(deployment(replicas=1, containers=[{"name": "a"}]), current) == current
