from __future__ import annotations

import asyncio

from tsujiban.agent.reissue import Reissue
from tsujiban.policy.program import AuthzAction, AuthzProgram, NodeState
from tsujiban.policy.revocation import RULE


class Svids:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[frozenset[str]] = []

    def revoked(self, serials: frozenset[str]) -> None:
        self.told.append(serials)


def test_changes_of_the_list_are_told_once() -> None:
    svids = Svids()
    post = Reissue(svids)  # type: ignore[arg-type]

    def listed(*serials: str) -> NodeState:
        program = AuthzProgram(id=RULE, action=AuthzAction.DENY, revokes=serials)
        return NodeState(authorizations={RULE: program})

    for state in (NodeState(), listed("ab"), listed("ab"), listed("ab", "cd"), NodeState()):
        assert asyncio.run(post.enforce(state, None)) == ()
    assert svids.told == [{"ab"}, {"ab", "cd"}, set()]
