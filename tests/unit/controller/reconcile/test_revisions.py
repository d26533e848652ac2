"""The history of a template: numbered, kept as long as it is used, taken up again when it is wanted again."""

from __future__ import annotations

from typing import Any

from tsujiban.controller.reconcile import revisions
from tsujiban.controller.world import CONTROLLER_REVISIONS, DAEMON_SETS, Ref, with_metadata

REF = Ref(*DAEMON_SETS, "default", "web")


def wanted(kit: Any, image: str, used: tuple[str, ...] = (), **spec: Any) -> str:
    """Want a template; its digest."""
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"image": image}]}}
    obj = kit.world.get(REF) or {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "web"}}
    obj = {**obj, "metadata": {**obj["metadata"], "namespace": "default", "annotations": {"why": image}}}
    kit.put(REF, {**obj, "spec": {"template": template, **spec}})
    digest = revisions.digest_of(kit.world.get(REF))
    for _ in range(3):
        kit.carry_out(revisions.plan(kit.world, kit.world.get(REF), digest, (digest, *used)))
    assert not revisions.plan(kit.world, kit.world.get(REF), digest, (digest, *used))
    return digest


def held(kit: Any) -> dict[str, int]:
    """Image to number."""
    found = [obj for _, obj in kit.world.all(CONTROLLER_REVISIONS)]
    assert all(one["metadata"]["annotations"]["why"] == image_of(one) for one in found)
    return {image_of(one): one["revision"] for one in found}


def image_of(revision: Any) -> str:
    return str(revision["data"]["spec"]["template"]["spec"]["containers"][0]["image"])


def test_each_template_has_a_number_and_an_older_one_becomes_the_newest(kit: Any) -> None:
    first = wanted(kit, "a")
    assert wanted(kit, "b") != first
    assert held(kit) == {"a": 1, "b": 2}
    assert wanted(kit, "a") == first
    assert held(kit) == {"a": 3, "b": 2}


def test_data_is_a_patch_that_replaces_the_template(kit: Any) -> None:
    wanted(kit, "a")
    ((_, made),) = kit.world.all(CONTROLLER_REVISIONS)
    assert made["data"]["spec"]["template"]["$patch"] == "replace"
    assert made["metadata"]["labels"]["app"] == "web"


def test_the_oldest_that_nobody_uses_are_forgotten(kit: Any) -> None:
    first = wanted(kit, "a")
    for image in "bcd":
        wanted(kit, image, used=(first,), revisionHistoryLimit=1)
    assert held(kit) == {"a": 1, "c": 3, "d": 4}
    wanted(kit, "d", revisionHistoryLimit=0)
    assert held(kit) == {"d": 4}


def test_a_revision_that_was_left_behind_is_taken_up(kit: Any) -> None:
    wanted(kit, "a")
    ((ref, left),) = kit.world.all(CONTROLLER_REVISIONS)
    kit.put(ref, with_metadata(left, ownerReferences=None))
    wanted(kit, "a")
    ((_, again),) = kit.world.all(CONTROLLER_REVISIONS)
    assert again["metadata"]["ownerReferences"] == left["metadata"]["ownerReferences"]
