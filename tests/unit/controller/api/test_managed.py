from __future__ import annotations

from typing import Any

import pytest

from tsujiban.controller.api import managed
from tsujiban.controller.api.errors import ApiError
from tsujiban.controller.api.managed import Writer
from tsujiban.controller.api.three_way import LAST_APPLIED, with_annotation
from tsujiban.resources import schema
from tsujiban.resources.registry import kind_for

OF = schema.of(kind_for("apps/v1", "Deployment"))
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def who(name: str, time: str = EARLY, subresource: str = "") -> Writer:
    return Writer(name, "apps/v1", subresource, time)


def web(labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    head: dict[str, Any] = {"name": "web", "namespace": "default"}
    if labels is not None:
        head["labels"] = labels
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": head, "spec": spec}


def apply(live: dict[str, Any] | None, config: dict[str, Any], name: str, **options: Any) -> dict[str, Any]:
    return managed.applied(live, config, who(name), OF, force=options.get("force", False))


def owned(document: dict[str, Any]) -> dict[str, Any]:
    return {e["manager"]: e["fieldsV1"] for e in document["metadata"].get("managedFields", [])}


def test_the_first_write_is_its_writers() -> None:
    made = managed.updated(None, web(replicas=1), None, who("kubectl-create"), OF)
    assert made["metadata"]["managedFields"] == [
        {
            "manager": "kubectl-create",
            "operation": "Update",
            "apiVersion": "apps/v1",
            "time": EARLY,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:replicas": {}}},
        }
    ]


def test_who_changes_a_field_takes_it() -> None:
    made = managed.updated(None, web(replicas=1, paused=True), None, who("one"), OF)
    after = managed.updated(made, web(replicas=2, paused=True), None, who("two", LATE), OF)
    assert owned(after) == {"one": {"f:spec": {"f:paused": {}}}, "two": {"f:spec": {"f:replicas": {}}}}
    gone = managed.updated(after, web(replicas=2), None, who("two", LATE), OF)
    assert owned(gone) == {"two": {"f:spec": {"f:replicas": {}}}}


def test_a_write_that_changes_nothing_changes_no_entry() -> None:
    made = managed.updated(None, web(replicas=1), None, who("one"), OF)
    again = managed.updated(made, web(replicas=1), None, who("one", LATE), OF)
    assert again == made


def test_true_is_not_one() -> None:
    made = managed.updated(None, web(replicas=1), None, who("one"), OF)
    assert "two" in owned(managed.updated(made, web(replicas=True), None, who("two"), OF))


def test_apply_takes_away_what_is_no_longer_wanted() -> None:
    made = apply(None, web({"a": "1", "b": "2"}, replicas=1), "one")
    after = apply(made, web({"a": "1"}), "one")
    assert after["metadata"]["labels"] == {"a": "1"}
    assert after["spec"] == {} or "spec" not in after
    assert owned(after) == {"one": {"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {}}}


def test_what_two_want_stays_when_one_wants_it_no_more() -> None:
    made = apply(apply(None, web(replicas=1), "one"), web(replicas=1), "two")
    assert set(owned(made)) == {"one", "two"}
    assert apply(made, web(), "one")["spec"] == {"replicas": 1}


def test_a_conflict_is_told_and_can_be_forced() -> None:
    made = apply(None, web(replicas=1, paused=True), "one")
    with pytest.raises(ApiError) as refused:
        apply(made, web(replicas=2), "two")
    assert refused.value.code == 409
    assert refused.value.message == 'Apply failed with 1 conflict: conflict with "one": .spec.replicas'
    assert refused.value.details["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".spec.replicas"}
    ]
    with pytest.raises(
        ApiError, match=r'2 conflicts: conflicts with "one":\n- .spec.paused\n- .spec.replicas'
    ):
        apply(made, web(replicas=2, paused=False), "two")
    forced = apply(made, web(replicas=2), "two", force=True)
    assert forced["spec"] == {"replicas": 2, "paused": True}
    assert owned(forced) == {"one": {"f:spec": {"f:paused": {}}}, "two": {"f:spec": {"f:replicas": {}}}}


def test_a_conflict_with_an_update_names_its_version() -> None:
    made = managed.updated(None, web(replicas=1), None, who("edit"), OF)
    with pytest.raises(ApiError, match=r'conflict with "edit" using apps/v1: \.spec\.replicas'):
        apply(made, web(replicas=2), "two")


def test_items_of_lists_belong_to_those_who_want_them() -> None:
    def with_containers(*containers: dict[str, str]) -> dict[str, Any]:
        return web(template={"spec": {"containers": list(containers)}})

    made = apply(None, with_containers({"name": "web", "image": "1"}), "one")
    made = apply(made, with_containers({"name": "sidecar", "image": "s"}), "two")
    containers = made["spec"]["template"]["spec"]["containers"]
    assert [container["name"] for container in containers] == ["web", "sidecar"]
    gone = apply(made, web(), "two")
    assert gone["spec"]["template"]["spec"]["containers"] == [{"name": "web", "image": "1"}]


def test_what_nobody_manages_is_of_before_the_first_apply() -> None:
    live = web(replicas=1)
    assert "managedFields" not in managed.updated(live, web(replicas=2), None, who("x"), OF)["metadata"]
    with pytest.raises(ApiError, match="before-first-apply"):
        apply(live, web(replicas=2), "two")
    assert set(owned(apply(live, web(replicas=1), "two"))) == {"two", "before-first-apply"}


def test_kubectl_takes_over_what_its_client_side_apply_wrote() -> None:
    live = managed.updated(None, with_annotation(web(replicas=1)), None, who("kubectl-client-side-apply"), OF)
    with pytest.raises(ApiError):
        apply(live, web(replicas=2), "argocd")
    taken = apply(live, web(replicas=2), "kubectl")
    assert taken["spec"] == {"replicas": 2}
    told = managed.with_last_applied(taken, web(replicas=2))["metadata"]["annotations"][LAST_APPLIED]
    assert '"replicas":2' in told


def test_a_client_may_forget_the_managers_or_set_them() -> None:
    made = managed.updated(None, web(replicas=1), None, who("one"), OF)
    resets: list[Any] = [[], [{}]]
    for reset in resets:
        assert "managedFields" not in managed.updated(made, web(replicas=1), reset, who("x"), OF)["metadata"]
    given = [{**made["metadata"]["managedFields"][0], "manager": "renamed"}]
    assert set(owned(managed.updated(made, web(replicas=1), given, who("x"), OF))) == {"renamed"}
    nonsense = [{"manager": "n", "operation": "Steal", "apiVersion": "apps/v1"}]
    assert set(owned(managed.updated(made, web(replicas=1), nonsense, who("x"), OF))) == {"one"}


def test_the_list_twice_the_same_item_cannot_be_applied() -> None:
    with pytest.raises(ApiError) as refused:
        apply(None, web(template={"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}), "one")
    assert refused.value.code == 400


def test_status_is_managed_through_its_own_door() -> None:
    made = managed.updated(None, web(replicas=1), None, who("one"), OF)
    new = web(replicas=1) | {"status": {"readyReplicas": 1}}
    after = managed.updated(made, new, None, who("one", LATE, "status"), OF)
    found = [e for e in after["metadata"]["managedFields"] if e.get("subresource") == "status"]
    assert [entry["fieldsV1"] for entry in found] == [{"f:status": {"f:readyReplicas": {}}}]


def test_many_writers_become_one() -> None:
    live = managed.updated(None, web({"l": "0"}), None, who("w0"), OF)
    for number in range(1, 15):
        labels = {**live["metadata"]["labels"], f"l{number}": "x"}
        live = managed.updated(
            live, web(labels), None, who(f"w{number:02}", f"2026-01-01T00:00:{number:02}Z"), OF
        )
    names = list(owned(live))
    assert len(names) <= managed.MAX_UPDATERS + 1
    assert managed.ANCIENT in names
    every = {path for entry in managed.entries(live) for path in entry.fields}
    assert ("f:metadata", "f:labels", "f:l1") in every
