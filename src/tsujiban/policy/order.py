"""Tiers and the order of policies in them: from the forms that select an endpoint to its program."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from tsujiban.policy.definitions import NetworkPolicyForm
from tsujiban.policy.program import Action, Direction, Frozen, Tier
from tsujiban.resources import defaults
from tsujiban.resources.kinds import calico


class TierForm(Frozen, frozen=True):
    """A tier's place and default action."""

    order: float = math.inf
    default_action: Action = Action.DENY


BUILT_IN: Mapping[str, TierForm] = {
    name: TierForm(order=order, default_action=Action(action.lower()))
    for name, (order, action) in defaults.BUILT_IN_TIERS.items()
}
ABSENT = TierForm()  # a tier that no object defines: last, and closed


def compile_tier(tier: calico.Tier) -> TierForm:
    """A Tier object."""
    name, spec = tier.metadata.name, tier.spec
    return TierForm(
        order=defaults.tier_order(name, spec),
        default_action=Action(defaults.tier_action(name, spec).lower()),
    )


def policy_key(form: NetworkPolicyForm) -> tuple[float, str, str]:
    """Order, then name, namespace and kind as one text, which is how Calico compares them (so `a-b`
    comes before `a`); the id settles what is left."""
    return (form.order, "/".join(form.tie), form.program.id)


def arrange(
    forms: Iterable[NetworkPolicyForm], tiers: Mapping[str, TierForm], direction: Direction
) -> tuple[Tier, ...]:
    """The ordered tiers of one endpoint in one direction."""
    by_tier: dict[str, list[NetworkPolicyForm]] = {}
    for form in forms:
        if direction in form.directions:
            by_tier.setdefault(form.tier, []).append(form)

    def place(name: str) -> tuple[float, str]:
        return (tiers.get(name, ABSENT).order, name)

    return tuple(
        Tier(
            name=name,
            default_action=tiers.get(name, ABSENT).default_action,
            default_id=f"_tier/{name}/{direction}/default",
            policies=tuple(form.program.id for form in sorted(by_tier[name], key=policy_key)),
        )
        for name in sorted(by_tier, key=place)
    )
