from __future__ import annotations

import re

import pytest

from tsujiban.policy.definitions import SetDefinition, SetKind, Sets
from tsujiban.resources import selectors

A = selectors.parse("app == 'a'")


def test_the_same_question_is_the_same_set() -> None:
    one = SetDefinition(kind=SetKind.ENDPOINTS, selector=selectors.parse("app=='a'"))
    other = SetDefinition(kind=SetKind.ENDPOINTS, selector=selectors.parse('( app == "a" )'))
    assert one.id == other.id


@pytest.mark.parametrize("kind", list(SetKind))
def test_an_id_is_a_letter_and_sixteen_digits(kind: SetKind) -> None:
    assert re.fullmatch(f"{kind}[0-9a-f]{{16}}", SetDefinition(kind=kind, selector=A).id)


def test_everything_that_is_asked_tells_sets_apart() -> None:
    asked = [
        SetDefinition(kind=SetKind.ENDPOINTS, selector=A),
        SetDefinition(kind=SetKind.NODES, selector=A),
        SetDefinition(kind=SetKind.ENDPOINTS, selector=selectors.parse("app == 'b'")),
        SetDefinition(kind=SetKind.NAMED_PORT, selector=A, name="web", protocol=6),
        SetDefinition(kind=SetKind.NAMED_PORT, selector=A, name="web", protocol=17),
        SetDefinition(kind=SetKind.NAMED_PORT, selector=A, name="dns", protocol=17),
        SetDefinition(kind=SetKind.SERVICE, name="x/web"),
        SetDefinition(kind=SetKind.SERVICE, name="y/web"),
        SetDefinition(kind=SetKind.SERVICE_ADDRESSES, name="x/web"),
    ]
    assert len({definition.id for definition in asked}) == len(asked)


@pytest.mark.parametrize(
    ("kind", "triples"),
    [
        (SetKind.ENDPOINTS, False),
        (SetKind.NODES, False),
        (SetKind.NAMED_PORT, True),
        (SetKind.SERVICE, True),
        (SetKind.SERVICE_ADDRESSES, False),
    ],
)
def test_which_sets_hold_ports(kind: SetKind, triples: bool) -> None:
    assert SetDefinition(kind=kind).is_service is triples


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        (SetDefinition(kind=SetKind.ENDPOINTS, selector=A), 'app == "a"'),
        (SetDefinition(kind=SetKind.NODES, selector=A), 'nodes app == "a"'),
        (SetDefinition(kind=SetKind.NAMED_PORT, selector=A, name="web"), "port 'web' of app == \"a\""),
        (SetDefinition(kind=SetKind.SERVICE, name="x/web"), "service x/web"),
    ],
)
def test_a_set_says_what_it_is(definition: SetDefinition, words: str) -> None:
    assert str(definition) == words


def test_a_policy_refers_to_each_set_once() -> None:
    sets = Sets()
    first, again = sets.endpoints(A), sets.endpoints(A)
    port = sets.named_port("web", 6, A)
    assert first == again
    assert set(sets.definitions) == {first, port}
    assert sets.definitions[port].selector is A
