from __future__ import annotations

import json
from functools import partial

import pytest

from tsujiban.store import metadata
from tsujiban.store.etcd import layout, messages
from tsujiban.store.etcd.plan import Present, decide, guessed
from tsujiban.store.protocol import (
    Check,
    Conflict,
    Create,
    Delete,
    InvalidTransaction,
    Key,
    Operation,
    Update,
)

PREFIX = b"/tsujiban/c/"
A, B, C = (Key("", "pods", "d", name) for name in "abc")


def value(mark: int = 0) -> bytes:
    return json.dumps({"metadata": {"name": "x"}, "spec": mark}).encode()


def present(*keys: Key, at: int = 5) -> Present:
    found: Present = {}
    for key in keys:
        draft = layout.draft(partial(metadata.created, value()))
        assert draft is not None
        found[key] = layout.unpack(draft.packed(0, bytes(8)), b""), at
    return found


def test_every_object_that_is_written_must_be_as_it_was() -> None:
    plan = decide([Create(A, value()), Update(B, value(1), layout.first(5)), Delete(C)], present(B, C))
    request = plan.request(PREFIX, b"12345678", 3)
    assert [(one.key, one.target, one.result, one.mod_revision) for one in request.compare] == [
        (layout.path(PREFIX, A), messages.MOD, messages.EQUAL, 0),
        (layout.path(PREFIX, B), messages.MOD, messages.EQUAL, 5),
        (layout.path(PREFIX, C), messages.MOD, messages.EQUAL, 5),
        (layout.mark(PREFIX), messages.MOD, messages.EQUAL, 3),
    ]
    kinds = [one.HasField("request_delete_range") for one in request.success]
    assert kinds == [False, False, True]
    places = [layout.unpack(one.request_put.value, b"").place for one in request.success[:2]]
    assert places == [0, 1]
    revisions = [one.revision for one in plan.results(9) if one]
    assert revisions == [9 * 1024, 9 * 1024 + 1, 9 * 1024 + 2]


def test_what_must_only_exist_may_change() -> None:
    plan = decide([Check(B), Create(A, value())], present(B))
    compare = plan.request(PREFIX, bytes(8), 3).compare
    assert [(one.key, one.target, one.result) for one in compare] == [
        (layout.path(PREFIX, A), messages.MOD, messages.EQUAL),
        (layout.mark(PREFIX), messages.MOD, messages.EQUAL),
        (layout.path(PREFIX, B), messages.VERSION, messages.GREATER),
    ]


def test_an_unchanged_update_writes_nothing_and_is_guarded() -> None:
    plan = decide([Update(B, value(), None)], present(B))
    assert plan.writes == ()
    (same,) = plan.results(0)
    assert same is not None
    assert same.revision == layout.first(5)


def test_a_check_sees_what_the_transaction_did_before() -> None:
    decide([Create(A, value()), Check(A)], {})
    decide([Delete(B), Check(B, 0)], present(B))
    for expected in (0, layout.first(5)):
        with pytest.raises(Conflict):
            decide([Create(A, value()), Check(A, expected)], {})


def test_what_no_revision_has_place_for() -> None:
    keys = [Key("", "pods", "d", str(number)) for number in range(1025)]
    with pytest.raises(InvalidTransaction, match="1024"):
        decide([Create(key, value()) for key in keys], {})


def test_what_only_creates_need_not_be_read_first() -> None:
    operations: list[Operation] = [Check(B), Create(A, value()), Check(C, 0)]
    guess = guessed(operations)
    assert guess is not None
    request = decide(operations, guess).request(PREFIX, bytes(8), 3)
    assert {(one.key, one.target, one.mod_revision) for one in request.compare} == {
        (layout.path(PREFIX, A), messages.MOD, 0),
        (layout.path(PREFIX, C), messages.MOD, 0),
        (layout.mark(PREFIX), messages.MOD, 3),
        (layout.path(PREFIX, B), messages.VERSION, 0),
    }
    others: list[Operation] = [Update(B, value(), None), Delete(B), Check(B, 7), Check(A)]
    for other in others:
        assert guessed([Create(A, value()), other]) is None
    assert guessed([Check(B)]) is None
