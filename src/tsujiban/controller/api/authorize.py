"""Who may do what. One question, asked before every request: administrators, then nodes, then RBAC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.errors import ApiError
from tsujiban.controller.api.users import MASTERS, User


class Decision(msgspec.Struct, frozen=True):
    """The answer. `reason` says which rule allowed it, or why it is refused; never a secret."""

    allowed: bool
    reason: str = ""


NO_OPINION = Decision(False)


class Authorizer(Protocol):
    """Decides."""

    async def decide(self, user: User, wanted: Attributes) -> Decision:
        """Whether `user` may. Anything not known to be allowed is not."""


class Opinion(Protocol):
    """One authorizer of several: what it does not allow, another may."""

    def decide(self, user: User, wanted: Attributes) -> Decision:
        """As `Authorizer.decide`, from memory."""


class BuiltIn:
    """Members of system:masters may do all: the way in when nobody else can."""

    def decide(self, user: User, wanted: Attributes) -> Decision:
        """See `Opinion.decide`."""
        return Decision(True, f"member of {MASTERS}") if MASTERS in user.groups else NO_OPINION


class OnlyMasters:
    """An authorizer for servers without RBAC: administrators and nobody else."""

    async def decide(self, user: User, wanted: Attributes) -> Decision:
        """See `Authorizer.decide`."""
        return BuiltIn().decide(user, wanted)


def first(opinions: Sequence[Opinion], user: User, wanted: Attributes) -> Decision:
    """The first that allows it; else the refusal, with all reasons."""
    reasons = []
    for opinion in opinions:
        found = opinion.decide(user, wanted)
        if found.allowed:
            return found
        if found.reason:
            reasons.append(found.reason)
    return Decision(False, ", ".join(reasons))


def refused(user: User, wanted: Attributes, reason: str = "") -> ApiError:
    """403 as a real server says it."""
    why = f": {reason}" if reason else ""
    if wanted.path:
        return ApiError(403, "Forbidden", f'forbidden: User "{user.name}" cannot {wanted}{why}')
    named = f'{wanted.title} "{wanted.name}"' if wanted.name else wanted.title
    details = {"name": wanted.name, "group": wanted.group, "kind": wanted.resource}
    return ApiError(
        403,
        "Forbidden",
        f'{named} is forbidden: User "{user.name}" cannot {wanted}{why}',
        {key: value for key, value in details.items() if value},
    )
