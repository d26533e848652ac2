"""Roles that are made of others."""

from __future__ import annotations

from typing import Any

from tsujiban.controller.reconcile import aggregation
from tsujiban.controller.world import CLUSTER_ROLES, Ref


def role(kit: Any, name: str, labels: dict[str, str], rules: list[Any], selects: str = "") -> Ref:
    obj: dict[str, Any] = {"metadata": {"name": name, "labels": labels}, "rules": rules}
    if selects:
        obj["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {selects: "true"}}]}
    found: Ref = kit.put(Ref(*CLUSTER_ROLES, "", name), obj)
    return found


def rules(kit: Any, ref: Ref) -> list[Any]:
    found: list[Any] = kit.world.get(ref)["rules"]
    return found


def test_rules_follow_the_roles_that_are_selected(kit: Any) -> None:
    pods, secrets, mine = {"resources": ["pods"]}, {"resources": ["secrets"]}, {"resources": ["mine"]}
    whole = role(kit, "whole", {}, [mine], "part")
    role(kit, "a", {"part": "true"}, [pods, secrets])
    role(kit, "b", {"part": "true"}, [secrets])
    role(kit, "c", {"part": "false"}, [mine])
    assert aggregation.aggregated(kit.world) == [whole]
    assert kit.carry_out(aggregation.plan(kit.world, whole)) == 1
    assert rules(kit, whole) == [pods, secrets]
    assert aggregation.plan(kit.world, whole) == []
    role(kit, "a", {}, [pods, secrets])
    kit.carry_out(aggregation.plan(kit.world, whole))
    assert rules(kit, whole) == [secrets]


def test_a_role_does_not_feed_on_itself_and_others_are_left_alone(kit: Any) -> None:
    own = role(kit, "own", {"part": "true"}, [{"resources": ["x"]}], "part")
    kit.carry_out(aggregation.plan(kit.world, own))
    assert rules(kit, own) == []
    plain = role(kit, "plain", {}, [{"resources": ["x"]}])
    assert aggregation.plan(kit.world, plain) == []
    assert aggregation.plan(kit.world, plain._replace(name="gone")) == []
