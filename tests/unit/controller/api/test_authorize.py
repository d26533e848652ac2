from __future__ import annotations

import pytest

from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.authorize import NO_OPINION, BuiltIn, Decision, OnlyMasters, first, refused
from tsujiban.controller.api.users import User

ADMIN = User("root", ("system:masters",))
EVE = User("eve", ("guests",))
SECRETS = Attributes(verb="delete", resource="secrets", namespace="n", name="x")


class Says:
    def __init__(self, decision: Decision) -> None:
        self.decision = decision

    def decide(self, _user: User, _wanted: Attributes) -> Decision:
        return self.decision


@pytest.mark.anyio
async def test_administrators_may_do_all_and_others_nothing() -> None:
    assert BuiltIn().decide(ADMIN, SECRETS).allowed
    assert BuiltIn().decide(ADMIN, Attributes(verb="apply", path="/tsujiban/v1/apply")).allowed
    assert BuiltIn().decide(EVE, SECRETS) == NO_OPINION
    assert (await OnlyMasters().decide(ADMIN, SECRETS)).allowed
    assert not (await OnlyMasters().decide(EVE, Attributes(verb="get", path="/version"))).allowed


def test_the_first_that_allows_decides_and_refusals_keep_their_reasons() -> None:
    yes, no = Says(Decision(True, "because")), Says(Decision(False, "never"))
    assert first([no, yes], EVE, SECRETS) == Decision(True, "because")
    assert first([no, Says(NO_OPINION), no], EVE, SECRETS) == Decision(False, "never, never")
    assert first([], EVE, SECRETS) == NO_OPINION


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            Attributes(verb="list", resource="secrets", namespace="n"),
            'secrets is forbidden: User "eve" cannot list resource "secrets" in API group ""'
            ' in the namespace "n"',
        ),
        (
            Attributes(verb="get", group="apps", resource="deployments", subresource="status", name="d"),
            'deployments.apps "d" is forbidden: User "eve" cannot get resource "deployments/status"'
            ' in API group "apps" at the cluster scope: why',
        ),
        (Attributes(verb="get", path="/x"), 'forbidden: User "eve" cannot get path "/x"'),
    ],
)
def test_refusals_read_as_those_of_kubernetes(wanted: Attributes, message: str) -> None:
    error = refused(EVE, wanted, "why" if "why" in message else "")
    assert (error.code, error.reason, error.message) == (403, "Forbidden", message)
    if wanted.name:
        assert error.details == {"name": "d", "group": "apps", "kind": "deployments"}
