from __future__ import annotations

import json

import pytest

from tsujiban.store import metadata
from tsujiban.store.protocol import MAX_VALUE_BYTES, InvalidValue


def test_created_gives_identity_whatever_the_caller_says() -> None:
    made = json.loads(metadata.created(b'{"metadata":{"name":"a","uid":"forged","generation":9}}', 7))
    assert made["metadata"]["uid"] not in ("", "forged")
    assert made["metadata"]["generation"] == 1
    assert made["metadata"]["resourceVersion"] == "7"
    assert made["metadata"]["creationTimestamp"].endswith("Z")


def test_created_takes_the_uid_that_the_operation_names() -> None:
    made = json.loads(metadata.created(b'{"metadata":{"name":"a","uid":"forged"}}', 7, "given"))
    assert made["metadata"]["uid"] == "given"


def update(old: bytes, **changes: object) -> dict[str, object] | None:
    document = json.loads(old) | changes
    new = metadata.updated(old, json.dumps(document).encode(), 8)
    return None if new is None else json.loads(new)


OLD = metadata.created(b'{"metadata":{"name":"a"},"spec":{"x":1},"status":{"y":1}}', 7)


def test_updated_raises_the_generation_on_change_of_spec_only() -> None:
    changed = update(OLD, spec={"x": 2})
    assert changed is not None
    assert changed["metadata"]["generation"] == 2  # type: ignore[index]
    status = update(OLD, status={"y": 2})
    assert status is not None
    assert status["metadata"]["generation"] == 1  # type: ignore[index]
    data = update(OLD, data={"k": "v"})  # kinds without spec: ConfigMap
    assert data is not None
    assert data["metadata"]["generation"] == 2  # type: ignore[index]


def test_updated_keeps_identity() -> None:
    changed = update(OLD, metadata={"name": "a", "uid": "forged", "labels": {"l": "v"}})
    assert changed is not None
    before = json.loads(OLD)["metadata"]
    after = changed["metadata"]
    assert isinstance(after, dict)
    assert (after["uid"], after["creationTimestamp"]) == (before["uid"], before["creationTimestamp"])
    assert after["resourceVersion"] == "8"


def test_nothing_changed_is_none() -> None:
    assert update(OLD) is None
    assert update(OLD, metadata={"name": "a"}) is None


@pytest.mark.parametrize(("one", "other"), [("true", "1"), ("1", "1.0"), ("0", "false")])
def test_values_that_python_calls_equal_differ(one: str, other: str) -> None:
    old = metadata.created(b'{"metadata":{},"spec":{"x":%s}}' % one.encode(), 1)
    assert metadata.updated(old, b'{"metadata":{},"spec":{"x":%s}}' % other.encode(), 2) is not None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b"{}",
        b'{"metadata":null}',
        b'{"metadata":[]}',
        b"\xff",
        b'{"metadata":{},"x":NaN}',
        b"[" * 100_000,
    ],
)
def test_what_is_not_an_object_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidValue):
        metadata.created(value, 1)


def test_too_long_is_refused() -> None:
    with pytest.raises(InvalidValue, match="at most"):
        metadata.decode(b'{"metadata":{}}' + b" " * MAX_VALUE_BYTES)


def test_deleted_carries_the_revision_of_the_deletion() -> None:
    assert json.loads(metadata.deleted(OLD, 9))["metadata"]["resourceVersion"] == "9"


def test_uid() -> None:
    assert metadata.uid(OLD) == json.loads(OLD)["metadata"]["uid"]
    assert metadata.uid(b'{"metadata":{}}') == ""
