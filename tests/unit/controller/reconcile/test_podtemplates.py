"""Pods as controllers make them: of their template, with what admission would add."""

from __future__ import annotations

from typing import Any

from tsujiban.controller.reconcile.podtemplates import named, pod_of, random_suffix

OWNER: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "web", "namespace": "shop", "uid": "u"},
}
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "web"}, "annotations": {"a": "b"}},
    "spec": {"containers": [{"name": "main", "image": "host"}]},
}


def test_a_pod_is_its_template_and_what_its_controller_adds() -> None:
    ref, pod = pod_of(OWNER, TEMPLATE, "web-x", labels={"h": "1"}, finalizers=("f",), spec={"hostname": "w"})
    assert (ref.namespace, ref.name) == ("shop", "web-x")
    head = pod["metadata"]
    assert head["labels"] == {"app": "web", "h": "1"}
    assert (head["annotations"], head["finalizers"]) == ({"a": "b"}, ["f"])
    (owner,) = head["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("DaemonSet", "u", True)
    assert pod["spec"]["hostname"] == "w"
    assert pod["spec"]["serviceAccountName"] == "default"  # as admission would say
    assert TEMPLATE["metadata"]["labels"] == {"app": "web"}


def test_suffixes_differ_and_are_readable() -> None:
    suffixes = {random_suffix() for _ in range(200)}
    assert len(suffixes) > 190
    assert all(len(s) == 5 and not set(s) & set("aeiou01ly3") for s in suffixes)


def test_a_name_has_room_for_its_suffix() -> None:
    assert named("web", "abcde") == "web-abcde"
    assert len(named("w" * 253, "abcde")) <= 253
