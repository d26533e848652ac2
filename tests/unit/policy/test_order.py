from __future__ import annotations

import math

import pytest
from tests.support.manifests import objects

from tsujiban.policy.definitions import NetworkPolicyForm
from tsujiban.policy.order import BUILT_IN, TierForm, arrange, compile_tier
from tsujiban.policy.program import Action, Direction, PolicyProgram
from tsujiban.resources import selectors
from tsujiban.resources.kinds import calico


def form(
    name: str,
    order: float = 1,
    *,
    tier: str = "default",
    namespace: str = "",
    kind: str = "GlobalNetworkPolicy",
    directions: tuple[Direction, ...] = (Direction.INGRESS,),
    staged: bool = False,
) -> NetworkPolicyForm:
    return NetworkPolicyForm(
        program=PolicyProgram(
            id=f"{namespace or '_global'}/{'staged:' if staged else ''}{name}", staged=staged
        ),
        tier=tier,
        order=order,
        tie=(name, namespace, kind),
        selector=selectors.EVERYTHING,
        directions=directions,
    )


def names(*forms: NetworkPolicyForm, direction: Direction = Direction.INGRESS) -> list[tuple[str, ...]]:
    return [tier.policies for tier in arrange(forms, BUILT_IN, direction)]


def tier(text: str) -> TierForm:
    found = objects(f"apiVersion: projectcalico.org/v3\nkind: Tier\n{text}")[0].object
    assert isinstance(found, calico.Tier)
    return compile_tier(found)


def test_the_tiers_that_always_exist() -> None:
    """Calico's reference, "Tier": orders and default actions of the three."""
    assert dict(BUILT_IN) == {
        "kube-admin": TierForm(order=1_000, default_action=Action.PASS),
        "default": TierForm(order=1_000_000, default_action=Action.DENY),
        "kube-baseline": TierForm(order=10_000_000, default_action=Action.PASS),
    }


@pytest.mark.parametrize(
    ("text", "order", "action"),
    [
        ("metadata: {name: t}\nspec: {order: 5}", 5, Action.DENY),
        ("metadata: {name: t}\nspec: {order: 0}", 0, Action.DENY),  # zero is an order, not an absent one
        ("metadata: {name: t}\nspec: {}", math.inf, Action.DENY),
        ("metadata: {name: t}\nspec: {defaultAction: Pass}", math.inf, Action.PASS),
    ],
)
def test_a_tier_object(text: str, order: float, action: Action) -> None:
    assert tier(text) == TierForm(order=order, default_action=action)


def test_order_decides_before_the_name_and_none_is_last() -> None:
    assert names(form("a", math.inf), form("b", 2), form("c", 1.5)) == [
        ("_global/c", "_global/b", "_global/a")
    ]


def test_ties_are_settled_by_name_then_namespace_then_kind() -> None:
    first = form("n", namespace="x", kind="A", staged=True)
    second = form("n", namespace="x", kind="B")
    assert names(form("n", namespace="y"), form("m", namespace="z"), second, first) == [
        ("z/m", "x/staged:n", "x/n", "y/n")
    ]


def test_a_name_that_goes_on_with_a_dash_or_dot_is_first_as_in_calico() -> None:
    given = [form(name) for name in ("a", "ab", "a.b", "a-b", "a1")]
    assert names(*given) == [("_global/a-b", "_global/a.b", "_global/a", "_global/a1", "_global/ab")]


def test_tiers_stand_by_order_then_name_and_one_without_an_object_is_last_and_closed() -> None:
    known = {**BUILT_IN, "early": TierForm(order=1), "also": TierForm(order=1, default_action=Action.PASS)}
    forms = [form("p", tier=name) for name in ("nowhere", "default", "kube-baseline", "early", "also")]
    told = arrange(forms, known, Direction.INGRESS)
    assert [t.name for t in told] == ["also", "early", "default", "kube-baseline", "nowhere"]
    assert [t.default_action for t in told] == [
        Action.PASS,
        Action.DENY,
        Action.DENY,
        Action.PASS,
        Action.DENY,
    ]


@pytest.mark.parametrize("direction", list(Direction))
def test_a_direction_has_the_policies_that_are_about_it(direction: Direction) -> None:
    both = form("both", directions=tuple(Direction))
    one = form("one", directions=(direction,))
    (other,) = set(Direction) - {direction}
    assert names(both, one, direction=direction) == [("_global/both", "_global/one")]
    assert names(one, direction=other) == []
    assert arrange([one], BUILT_IN, direction)[0].default_id == f"_tier/default/{direction}/default"


def test_staged_policies_keep_their_place() -> None:
    assert names(form("b"), form("a", staged=True)) == [("_global/staged:a", "_global/b")]
