from __future__ import annotations

from typing import Any

import pytest

from tsujiban.controller.stored import mended

READY = {"type": "Ready", "status": "True"}
META = {"metadata": {"name": "n"}}


@pytest.mark.parametrize(
    "obj",
    [
        META,
        {**META, "status": {}},
        {**META, "status": {"phase": "Running"}},
        {**META, "status": {"conditions": []}},
        {**META, "status": {"conditions": [READY, {**READY, "reason": 1}]}},
    ],
)
def test_what_is_right_is_passed_on_as_it_is(obj: dict[str, Any]) -> None:
    found, wrong = mended(obj)
    assert found is obj
    assert wrong == []


@pytest.mark.parametrize(
    ("status", "left", "wrong"),
    [
        (None, None, []),
        ("Running", None, ["status is a text, not an object"]),
        ([READY], None, ["status is a list, not an object"]),
        ({"phase": "x", "conditions": None}, {"phase": "x", "conditions": []}, []),
        ({"conditions": "x"}, {"conditions": []}, ["status.conditions is a text, not a list"]),
        ({"conditions": READY}, {"conditions": []}, ["status.conditions is an object, not a list"]),
        ({"conditions": 7}, {"conditions": []}, ["status.conditions is a number, not a list"]),
        ({"conditions": False}, {"conditions": []}, ["status.conditions is a boolean, not a list"]),
        (
            {"conditions": ["Ready", READY, None, {"type": "Ready"}, {"type": 1}, {"status": "True"}]},
            {"conditions": [READY]},
            [
                "status.conditions[0] is a text, not an object",
                "status.conditions[2] is null, not an object",
                "status.conditions[3] has no text for status",
                "status.conditions[4] has no text for type and status",
                "status.conditions[5] has no text for type",
            ],
        ),
    ],
)
def test_what_is_wrong_is_left_out_and_told(status: Any, left: Any, wrong: list[str]) -> None:
    obj = {**META, "status": status}
    before = repr(obj)
    expected = META if left is None else {**META, "status": left}
    assert mended(obj) == (expected, wrong)
    assert repr(obj) == before


OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}


@pytest.mark.parametrize(
    ("owners", "left", "wrong"),
    [
        ([OWNER], [OWNER], []),
        ([], [], []),
        (None, None, []),
        (7, [], ["metadata.ownerReferences is no list"]),
        (
            [{"name": "x"}, OWNER, 5],
            [OWNER],
            [
                "metadata.ownerReferences[0] has no text for apiVersion and kind and uid",
                "metadata.ownerReferences[2] is a number, not an object",
            ],
        ),
    ],
)
def test_an_owner_that_is_none_is_left_out_and_told(owners: Any, left: Any, wrong: list[str]) -> None:
    found, told = mended({"metadata": {"name": "n", "ownerReferences": owners}})
    assert found["metadata"]["ownerReferences"] == left
    assert told == wrong
