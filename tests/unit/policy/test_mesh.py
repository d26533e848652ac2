"""Precedence of PeerAuthentication: Istio's reference, "PeerAuthentication"."""

from __future__ import annotations

import pytest

from tsujiban.policy.definitions import AuthorizationForm, PeerAuthenticationForm, RequestAuthenticationForm
from tsujiban.policy.mesh import authorization_order, effective_authentication, token_rules
from tsujiban.policy.program import Authentication, AuthzAction, AuthzProgram, JwtRule, MtlsMode
from tsujiban.resources import selectors

MESH, NAMESPACE, WORKLOAD = 0, 1, 2
DEFAULT = Authentication()
STRICT, PERMISSIVE, DISABLE = MtlsMode.STRICT, MtlsMode.PERMISSIVE, MtlsMode.DISABLE


def form(
    scope: int,
    mode: MtlsMode | None,
    name: str = "",
    created: str = "2026-01-01T00:00:00Z",
    ports: dict[int, MtlsMode | None] | None = None,
) -> PeerAuthenticationForm:
    name = name or f"scope-{scope}"
    return PeerAuthenticationForm(
        id=name,
        selector=selectors.EVERYTHING,
        scope=scope,
        age=(created, name),
        mode=mode,
        ports=ports or {},
    )


@pytest.mark.parametrize(
    ("forms", "mode", "name"),
    [
        ([], STRICT, "_mesh/strict"),
        ([form(MESH, PERMISSIVE)], PERMISSIVE, "scope-0"),
        ([form(MESH, PERMISSIVE), form(NAMESPACE, STRICT)], STRICT, "scope-1"),
        ([form(WORKLOAD, DISABLE), form(NAMESPACE, STRICT), form(MESH, PERMISSIVE)], DISABLE, "scope-2"),
        # an unset mode is inherited from the next wider scope that sets one
        ([form(MESH, PERMISSIVE), form(NAMESPACE, None)], PERMISSIVE, "scope-0"),
        ([form(MESH, DISABLE), form(NAMESPACE, None), form(WORKLOAD, None)], DISABLE, "scope-0"),
        ([form(WORKLOAD, None)], STRICT, "_mesh/strict"),
    ],
)
def test_the_narrowest_scope_that_sets_a_mode_wins(
    forms: list[PeerAuthenticationForm], mode: MtlsMode, name: str
) -> None:
    told = effective_authentication(forms, DEFAULT)
    assert (told.mode, told.id) == (mode, name)


def test_of_two_of_one_scope_the_older_wins() -> None:
    old = form(NAMESPACE, PERMISSIVE, "z-old", "2025-01-01T00:00:00Z")
    new = form(NAMESPACE, STRICT, "a-new", "2026-01-01T00:00:00Z")
    for order in ([old, new], [new, old]):
        assert effective_authentication(order, DEFAULT).id == "z-old"


def test_of_two_of_one_age_the_first_by_name_wins() -> None:
    one, other = form(WORKLOAD, DISABLE, "x/a"), form(WORKLOAD, STRICT, "x/b")
    assert effective_authentication([other, one], DEFAULT).id == "x/a"


def test_an_older_policy_without_a_mode_still_hides_the_newer_of_its_scope() -> None:
    old = form(NAMESPACE, None, "old", "2025-01-01T00:00:00Z")
    new = form(NAMESPACE, DISABLE, "new")
    assert effective_authentication([new, old, form(MESH, PERMISSIVE)], DEFAULT).mode is PERMISSIVE


def test_a_port_has_its_own_mode_and_its_own_id() -> None:
    told = effective_authentication(
        [form(MESH, PERMISSIVE), form(WORKLOAD, None, "w", ports={80: DISABLE, 81: None})], DEFAULT
    )
    assert (told.mode, told.id) == (PERMISSIVE, "scope-0")
    assert told.ports == {80: DISABLE}  # an unset port is as the workload
    assert told.port_ids == {80: "w"}


def authorization(action: AuthzAction, name: str) -> AuthorizationForm:
    return AuthorizationForm(program=AuthzProgram(id=name, action=action), selector=selectors.EVERYTHING)


def test_authorization_is_taken_by_action_then_by_id() -> None:
    forms = [
        authorization(AuthzAction.AUDIT, "a"),
        authorization(AuthzAction.ALLOW, "b"),
        authorization(AuthzAction.DENY, "d"),
        authorization(AuthzAction.DENY, "c"),
        authorization(AuthzAction.CUSTOM, "e"),
    ]
    assert authorization_order(forms) == ("e", "c", "d", "b", "a")


def test_the_issuers_of_all_request_authentications_count() -> None:
    forms = [
        RequestAuthenticationForm(
            id=name, selector=selectors.EVERYTHING, rules=tuple(JwtRule(issuer=i) for i in issuers)
        )
        for name, issuers in (("x/ra:b", ["two", "three"]), ("x/ra:a", ["one"]))
    ]
    assert [rule.issuer for rule in token_rules(forms)] == ["one", "two", "three"]
