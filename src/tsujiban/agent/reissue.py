"""A pod whose own certificate has been revoked gets a new one at once, with a new key.

A serial number is revoked when a key was lost, not because its owner is bad: without this the pod would be
refused everywhere until its certificate is due, half an hour perhaps. A pod that has got none because its
identity was revoked asks again when that is no longer so.
"""

from __future__ import annotations

from collections.abc import Sequence

from tsujiban.identity.rotation import SvidManager
from tsujiban.policy.program import AuthzProgram, NodeState
from tsujiban.policy.revocation import RULE


class Reissue:
    """A `Post` that follows the list of revoked certificates."""

    name = "identities"

    def __init__(self, svids: SvidManager) -> None:
        self._svids = svids
        self._seen: AuthzProgram | None = None

    async def enforce(self, state: NodeState, endpoints: set[str] | None) -> Sequence[str]:
        """Have certificates renewed that are on the list."""
        listed = state.authorizations.get(RULE)
        if listed != self._seen:
            self._seen = listed
            self._svids.revoked(frozenset((listed.revokes or ()) if listed is not None else ()))
        return ()
