"""Authorization put together: administrators, nodes, RBAC, and what is checked when things are written.

Answers from memory; a mirror of the store keeps it current. Until that has been read once, only
administrators are answered at once, everybody else waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tsujiban.controller.api import csrs, immutable, noderestriction
from tsujiban.controller.api.admission import CALICO, TIERED
from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.authorize import BuiltIn, Decision, first
from tsujiban.controller.api.errors import ApiError
from tsujiban.controller.api.escalation import Escalation
from tsujiban.controller.api.grants import KINDS, Grants
from tsujiban.controller.api.guard import GuardedStore, Review, Reviewer
from tsujiban.controller.api.mirror import Mirror
from tsujiban.controller.api.nodes import NodeAuthorizer
from tsujiban.controller.api.serviceaddresses import ServiceAddresses
from tsujiban.controller.api.tiers import Tiers
from tsujiban.controller.api.users import MASTERS, User
from tsujiban.resources.kinds import certificates
from tsujiban.resources.kinds.rbac import GROUP
from tsujiban.store.protocol import Key, Store

READY_SECONDS = 10.0


class Access:
    """The authorizer of a server, and the judge of writes. Run `run` as a task."""

    def __init__(self, store: Store, services: str, reserved: frozenset[str] = frozenset()) -> None:
        """`services` is the network of services, `reserved` are those of its addresses that no user gives."""
        self.grants = Grants()
        self.nodes = NodeAuthorizer()
        self._opinions = (BuiltIn(), self.nodes, self.grants)
        self._store = store
        sinks = {(GROUP, kind): [(self.grants.put, self.grants.drop)] for kind in KINDS}
        self.mirror = Mirror(store, {**sinks, ("", "pods"): [(self.nodes.put, self.nodes.drop)]})
        escalation = Escalation(self, self.grants)
        self._reviewers: dict[tuple[str, str], list[Reviewer]] = {
            (GROUP, "roles"): [escalation.role],
            (GROUP, "clusterroles"): [escalation.role],
            (GROUP, "rolebindings"): [escalation.binding],
            (GROUP, "clusterrolebindings"): [escalation.binding],
            (certificates.GROUP, csrs.PLURAL): [csrs.Requests(self).review],
            **{(CALICO, plural): [Tiers(self).review] for plural in TIERED},
            ("", "services"): [ServiceAddresses(store, self, services, reserved).review],
            **{kind: [reviewer] for kind, reviewer in immutable.reviewers().items()},
        }

    async def run(self) -> None:
        """Until cancelled."""
        await self.mirror.run()

    async def decide(self, user: User, wanted: Attributes) -> Decision:
        """See `Authorizer.decide`. Raises ApiError (503) when the store cannot be read."""
        decision = BuiltIn().decide(user, wanted)
        if decision.allowed:
            return decision
        await self.loaded()
        return first(self._opinions, user, wanted)

    async def loaded(self) -> None:
        """Wait for the first whole copy. Raises ApiError (503) when it does not come."""
        if self.mirror.ready.is_set():
            return
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self.mirror.ready.wait()
        except TimeoutError:
            raise ApiError(503, "ServiceUnavailable", "roles and bindings are not loaded yet") from None

    def view(self, user: User, wanted: Attributes) -> GuardedStore:
        """The store as this request may use it."""
        return GuardedStore(self._store, user, wanted, self._judges, self)

    def _judges(self, user: User, key: Key) -> Sequence[Reviewer]:
        found = self._reviewers.get((key.group, key.resource), [])
        if user.node:
            return [_restricted, *found]
        if (key.group, key.resource) == ("", "pods") and MASTERS not in user.groups:
            return [_addressed, *found]
        return found


async def _restricted(review: Review) -> None:
    await noderestriction.review(review)


async def _addressed(review: Review) -> None:
    noderestriction.keep_addresses(review)
