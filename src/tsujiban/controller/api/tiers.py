"""Who may write policies of which tier, by Calico's rules.

A tier is judged before the next one, whoever wrote the policies in it. So a right to policies in a namespace
is none to the tiers that administrators keep before it: there it takes `get` on the tier, and the verb on the
resource `tier.networkpolicies` (`tier.globalnetworkpolicies`, …), named after the tier (`TIER.*`) or the
policy. The tier `default` is everybody's who may write policies. Source: Calico documentation, "Configure
RBAC for tiered Calico policies".
"""

from __future__ import annotations

from typing import Any

from tsujiban.controller.api.admission import CALICO, TIERED
from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.authorize import Authorizer
from tsujiban.controller.api.documents import dig
from tsujiban.controller.api.errors import ApiError
from tsujiban.controller.api.guard import Review

Json = dict[str, Any]

OPEN = "default"
RESOURCES = tuple(f"tier.{plural}" for plural in TIERED)


class Tiers:
    """Reviews writes of policies."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def review(self, review: Review) -> Json | None:
        """Raises ApiError (403)."""
        found = {str(dig(policy, "spec", "tier") or OPEN) for policy in (review.old, review.new) if policy}
        for tier in sorted(found - {OPEN}):
            get = Attributes(verb="get", group=CALICO, version="v3", resource="tiers", name=tier)
            if not (await self._authorizer.decide(review.user, get)).allowed:
                raise _refused(review, tier, " (user cannot get tier)")
            wanted = [_wanted(review, name) for name in (f"{tier}.*", review.key.name)]
            if not any([(await self._authorizer.decide(review.user, one)).allowed for one in wanted]):
                raise _refused(review, tier, "")
        return None


def _verb(review: Review) -> str:
    """That of the request; `apply` makes and changes, and so does a patch."""
    if review.old is None:
        return "create"
    return "patch" if review.wanted.path else review.wanted.verb


def _wanted(review: Review, name: str) -> Attributes:
    return Attributes(
        verb=_verb(review),
        group=CALICO,
        version="v3",
        resource=f"tier.{review.key.resource}",
        namespace=review.key.namespace,
        name=name,
    )


def _refused(review: Review, tier: str, why: str) -> ApiError:
    key = review.key
    where = f' and namespace "{key.namespace}"' if key.namespace else ""
    return ApiError(
        403,
        "Forbidden",
        f'{key.resource}.{CALICO} "{key.name}" is forbidden: User "{review.user.name}" cannot '
        f'{_verb(review)} tier.{key.resource} in tier "{tier}"{where}{why}',
        {"name": key.name, "group": CALICO, "kind": key.resource},
    )
