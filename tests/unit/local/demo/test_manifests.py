from __future__ import annotations

from tsujiban.local.demo import manifests


def test_the_bank_without_mesh_differs_in_namespace_and_label_only() -> None:
    originals = manifests.objects("apps.yaml", "bank.yaml")
    varied = manifests.without_mesh(originals, "off")
    assert (varied[0]["kind"], varied[0]["metadata"]) == ("Namespace", {"name": "off"})
    for old, new in zip(originals, varied[1:], strict=True):
        assert new["metadata"]["namespace"] == "off"
        if old["kind"] == "Deployment":
            assert new["spec"]["template"]["metadata"]["labels"].pop(manifests.MESH_LABEL) == "none"
        assert new.get("spec") == old.get("spec")
        assert new.get("data") == old.get("data")


def test_pods_go_where_they_are_sent_and_the_originals_stay() -> None:
    originals = manifests.objects("attack/thief.yaml")
    pods = [obj for obj in manifests.on_node(originals, "node-2") if obj["kind"] == "Pod"]
    assert [pod["spec"]["nodeName"] for pod in pods] == ["node-2"]
    assert all("nodeName" not in obj.get("spec", {}) for obj in originals)


def test_a_namespace_may_be_served_by_its_nodes() -> None:
    found = manifests.served_by_nodes("default")
    assert (found["kind"], found["metadata"]["labels"]) == ("Namespace", {manifests.MESH_LABEL: "node"})
    forger = [obj for obj in manifests.objects("attack/forger.yaml") if obj["kind"] == "Pod"]
    assert forger[0]["metadata"]["labels"][manifests.MESH_LABEL] == "none"  # it must have no key either way
