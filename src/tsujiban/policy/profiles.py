"""Profiles that exist without an object: what a namespace allows by default.

Calico makes one profile a namespace (`kns.NAME`, allows everything) and one a service account
(`ksa.…`, no rules). A profile that is neither of these nor defined has no rules, and therefore
denies (Calico's resource reference, "Profile").
"""

from __future__ import annotations

from tsujiban.policy.program import Action, PolicyProgram, Rule

PREFIX = "_profile/"
ALLOWING = ("projectcalico-default-allow",)
NAMESPACE_PROFILE = "kns."


def default_profile(program_id: str) -> PolicyProgram:
    """The program of a profile that no object defines."""
    name = program_id.removeprefix(PREFIX)
    if name in ALLOWING or name.startswith(NAMESPACE_PROFILE):
        return PolicyProgram(
            id=program_id,
            ingress=(Rule(id=f"{program_id}/ingress/0", action=Action.ALLOW),),
            egress=(Rule(id=f"{program_id}/egress/0", action=Action.ALLOW),),
        )
    return PolicyProgram(id=program_id)
