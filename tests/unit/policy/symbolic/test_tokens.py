from __future__ import annotations

from tsujiban.policy.program import JwtRule, StringMatch
from tsujiban.policy.symbolic.tokens import Tokens

Claims = dict[tuple[str, ...], list[StringMatch]]
RULES = [JwtRule(issuer="https://i", audiences=("one",))]
GROUPS: Claims = {("groups",): [StringMatch(exact="ops"), StringMatch(prefix="dev")]}


def test_a_list_may_satisfy_several_patterns_at_once() -> None:
    known = Tokens(RULES, [], GROUPS)
    given: tuple[object, ...] = (None, [], ["ops"], ["devs"], ["ops", "devs"], "ops", "x")
    found = [known.find({"iss": "https://i", "groups": groups}) for groups in given]
    assert len(set(found)) == 4
    assert found[2] == found[5]
    assert found[0] == found[1] == found[6]


def test_every_class_finds_its_own_witness() -> None:
    known = Tokens(RULES, [StringMatch(suffix="/me"), StringMatch(present=True)], GROUPS)
    assert [known.find(value) for value in known.values] == list(range(len(known.values)))


def test_foreign_and_absent_tokens() -> None:
    known = Tokens(RULES, [], {})
    assert known.find(None) == 0
    assert known.find({"iss": "https://other"}) == 1
    assert Tokens([], [], {}).find({"iss": "https://i"}) == 0


def test_a_claim_cannot_be_a_value_and_hold_others() -> None:
    both: Claims = {("a",): [StringMatch(exact="x")], ("a", "b"): [StringMatch(exact="y")]}
    values = Tokens([JwtRule(issuer="https://i")], [], both).values
    assert len(values) == 2 + 3


def test_patterns_are_words() -> None:
    texts = {named.text for named in Tokens(RULES, [StringMatch(prefix="https")], GROUPS).patterns()}
    assert texts == {"token", "principal https*", "claim aud=one", "claim groups=ops", "claim groups=dev*"}


def test_any_issuer_is_told_apart_by_what_principals_ask() -> None:
    known = Tokens([JwtRule(issuer="")], [StringMatch(prefix="https://i/m"), StringMatch(suffix="/you")], {})
    assert [known.find(value) for value in known.values] == list(range(len(known.values)))
    classes = {
        known.find({"iss": issuer, "sub": subject})
        for issuer in ("https://i", "https://other")
        for subject in ("me", "you")
    }
    assert len(classes) == 4
    assert known.find({"sub": "me"}) == 1


def test_words_of_a_scope_are_values() -> None:
    known = Tokens([JwtRule(issuer="i")], [], {("scope",): [StringMatch(exact="a"), StringMatch(exact="b")]})
    assert known.find({"iss": "i", "scope": "a b"}) == known.find({"iss": "i", "scope": ["b", "a"]})
    assert known.find({"iss": "i", "scope": "a b"}) != known.find({"iss": "i", "scope": "a"})
