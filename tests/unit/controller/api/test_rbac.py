from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.rbac import TooManyRights, allows, compact, missing
from tsujiban.resources.kinds.rbac import PolicyRule


def rule(
    verbs: str, groups: str = "core", resources: str = "", names: str = "", urls: str = ""
) -> PolicyRule:
    """Words separated by spaces; the core group is written `core`."""
    if urls:
        return PolicyRule(verbs=tuple(verbs.split()), non_resource_urls=tuple(urls.split()))
    return PolicyRule(
        verbs=tuple(verbs.split()),
        api_groups=tuple("" if group == "core" else group for group in groups.split()),
        resources=tuple(resources.split()),
        resource_names=tuple(names.split()),
    )


def wanted(verb: str = "get", resource: str = "pods", **more: Any) -> Attributes:
    return Attributes(verb=verb, resource=resource, **more)


@pytest.mark.parametrize(
    ("found", "asked", "allowed"),
    [
        (rule("get list", resources="pods"), wanted(), True),
        (rule("get list", resources="pods"), wanted("watch"), False),
        (rule("get", resources="pods"), wanted(group="apps"), False),
        (rule("get", "apps", "pods"), wanted(), False),
        (rule("*", "*", "*"), wanted("escalate", group="x", subresource="y"), True),
        (rule("get", resources="pods"), wanted(subresource="log"), False),
        (rule("get", resources="pods/log"), wanted(subresource="log"), True),
        (rule("get", resources="pods/log"), wanted(), False),
        (rule("get", resources="*/log"), wanted(subresource="log"), True),
        (rule("get", resources="*/log"), wanted(), False),
        (rule("get", resources="pods/*"), wanted(subresource="log"), False),
        (rule("get", resources="pods", names="a"), wanted(name="a"), True),
        (rule("get", resources="pods", names="a"), wanted(name="b"), False),
        (rule("list", resources="pods", names="a"), wanted("list"), False),
        (rule("create", resources="pods", names="a"), wanted("create"), False),
        (rule("*", "*", "*"), Attributes(verb="get", path="/x"), False),
        (rule("get", urls="/x"), Attributes(verb="get", path="/x"), True),
        (rule("get", urls="/x"), Attributes(verb="get", path="/x/"), False),
        (rule("get", urls="/x/*"), Attributes(verb="get", path="/x/y"), True),
        (rule("get", urls="/x/*"), Attributes(verb="get", path="/xy"), False),
        (rule("get", urls="/x"), Attributes(verb="get", path="/X"), False),
        (rule("get", urls="*"), Attributes(verb="get", path="/anything"), True),
        (rule("get", urls="*"), wanted(), False),
    ],
)
def test_allows(found: PolicyRule, asked: Attributes, allowed: bool) -> None:
    assert allows(found, asked) is allowed


@pytest.mark.parametrize(
    ("held", "asked", "lacking"),
    [
        ([rule("get list", resources="pods secrets")], [rule("get", resources="pods")], 0),
        (
            [rule("get", resources="pods"), rule("list", resources="pods")],
            [rule("get list", resources="pods")],
            0,
        ),
        ([rule("get", resources="pods")], [rule("get list", resources="pods secrets")], 3),
        ([rule("get", resources="pods", names="a")], [rule("get", resources="pods")], 1),
        ([rule("get", resources="pods")], [rule("get", resources="pods", names="a")], 0),
        ([rule("get", resources="pods", names="a")], [rule("get", resources="pods", names="a b")], 1),
        ([rule("get", resources="pods")], [rule("*", resources="pods")], 1),
        ([rule("get", resources="pods")], [rule("get", resources="*")], 1),
        ([rule("get", resources="pods")], [rule("get", "*", "pods")], 1),
        ([rule("get", resources="*/log")], [rule("get", resources="pods/log")], 0),
        ([rule("get", resources="pods")], [rule("get", resources="pods/log")], 1),
        ([rule("get", urls="/x/*")], [rule("get", urls="/x/y /z")], 1),
        ([rule("get", urls="/x/*")], [rule("get", urls="/x/y/*")], 0),
        ([rule("get", urls="/x/*")], [rule("get", urls="*")], 1),
        ([rule("*", "*", "*")], [rule("get", urls="/x")], 1),
        ([rule("get", urls="*")], [rule("get", resources="pods")], 1),
        ([], [], 0),
    ],
)
def test_missing(held: list[PolicyRule], asked: list[PolicyRule], lacking: int) -> None:
    assert len(missing(held, asked)) == lacking


def test_a_huge_role_is_not_compared_for_ever() -> None:
    words = [f"r{number}" for number in range(200)]
    huge = PolicyRule(verbs=tuple(words), api_groups=tuple(words), resources=tuple(words))
    with pytest.raises(TooManyRights):
        missing([rule("get", resources="pods")], [huge])
    assert missing([rule("*", "*", "*")], [huge]) == []


WORDS = st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=2, unique=True).map(tuple)
RESOURCES = st.lists(st.sampled_from(["p", "p/x", "*/x", "*"]), min_size=1, max_size=2, unique=True).map(
    tuple
)
NAMES = st.lists(st.sampled_from(["n", "m"]), max_size=2, unique=True).map(tuple)
RULES = st.builds(PolicyRule, verbs=WORDS, api_groups=WORDS, resources=RESOURCES, resource_names=NAMES)
QUESTIONS = st.builds(
    Attributes,
    verb=st.sampled_from(["a", "b", "c"]),
    group=st.sampled_from(["a", "b", "c"]),
    resource=st.sampled_from(["p", "q"]),
    subresource=st.sampled_from(["", "x", "y"]),
    name=st.sampled_from(["", "n", "m", "o"]),
)


@given(st.lists(RULES, max_size=3), st.lists(RULES, max_size=2), QUESTIONS)
@settings(max_examples=int(os.environ.get("RBAC_EXAMPLES", "300")), deadline=None)
def test_what_is_covered_allows_nothing_more(
    held: list[PolicyRule], asked: list[PolicyRule], question: Attributes
) -> None:
    """Whoever holds all of a role could do all of it before."""
    if not missing(held, asked) and any(allows(one, question) for one in asked):
        assert any(allows(one, question) for one in held)


def test_rules_are_told_short_and_printable() -> None:
    text = compact([rule("get", resources="pods", names="a"), PolicyRule(verbs=("\x1b",))])
    first = '{APIGroups:[""], Resources:["pods"], ResourceNames:["a"], Verbs:["get"]}'
    assert text == first + ', {Verbs:["\\u001b"]}'
