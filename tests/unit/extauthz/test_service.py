from __future__ import annotations

from collections.abc import Callable

import pytest
from envoy.service.auth.v3 import external_auth_pb2
from google.protobuf import json_format
from tests.support.authzworld import DOMAIN, OTHER, ask, identity, policies

from tsujiban.extauthz.service import MALFORMED_RULE, Authorization, tell_peer
from tsujiban.policy.world import World

CHECK: Callable[[external_auth_pb2.CheckRequest], external_auth_pb2.CheckResponse] = Authorization(
    policies().world, DOMAIN
).check


def rules(response: external_auth_pb2.CheckResponse) -> list[str]:
    told = json_format.MessageToDict(response.dynamic_metadata)
    return list(told["rules"])


def test_what_policy_allows_is_allowed_and_by_which_rule() -> None:
    response = CHECK(ask(principal=identity("shop")))
    assert response.status.code == 0
    assert "default/authz:web/0" in rules(response)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"method": "POST"}, "_authz/no-allow"),
        ({"path": "/admin"}, "_authz/no-allow"),
        ({"path": "/v1/%2e%2e/admin"}, "_authz/no-allow"),
        ({"method": ""}, "_authz/no-allow"),
        ({"principal": ""}, "_mesh/strict"),
        ({"principal": identity("web")}, "_mesh/identity"),
        ({"destination": OTHER}, "_mesh/unknown-destination"),
    ],
)
def test_everything_else_is_refused_and_by_which_rule(changes: dict[str, str], rule: str) -> None:
    response = CHECK(ask(**{"principal": identity("shop"), **changes}))  # type: ignore[arg-type]
    assert response.status.code == 7
    assert rule in rules(response)


def test_an_empty_question_is_refused() -> None:
    assert CHECK(external_auth_pb2.CheckRequest()).status.code == 7


def test_what_cannot_be_judged_is_refused_and_no_error() -> None:
    def broken() -> World:
        raise LookupError("no policy")

    response = Authorization(broken, DOMAIN).check(ask())
    assert response.status.code == 7
    assert rules(response) == [MALFORMED_RULE]


@pytest.mark.parametrize(
    ("inside", "beside", "believed"),
    [
        ("", f"URI={identity('shop')}", identity("shop")),
        (identity("web"), f"URI={identity('shop')}", identity("web")),
        ("", "URI=plaintext", ""),
        ("", "", ""),
    ],
)
def test_who_asks_may_be_told_beside_the_question(inside: str, beside: str, believed: str) -> None:
    request = ask(principal=inside)
    tell_peer(request, beside)
    assert request.attributes.source.principal == believed
