from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsujiban.store import metadata
from tsujiban.store.etcd import layout
from tsujiban.store.protocol import InvalidValue, Key, StoreUnavailable

PREFIX = b"/tsujiban/c/"
WORDS = st.text(st.characters(exclude_characters="/", codec="ascii", categories=("L", "N", "P")), min_size=1)


@given(st.sampled_from(["", "apps", "projectcalico.org"]), WORDS, st.one_of(st.just(""), WORDS), WORDS)
def test_keys_come_back(group: str, resource: str, namespace: str, name: str) -> None:
    key = Key(group, resource, namespace, name)
    raw = layout.path(PREFIX, key)
    assert layout.key_of(PREFIX, raw) == key
    prefix = layout.kind_prefix(PREFIX, group, resource, None)
    assert prefix <= raw < layout.range_end(prefix)


@pytest.mark.parametrize("name", ["a/b", "a\0", "a\n", "../x"])
def test_a_name_cannot_lead_elsewhere(name: str) -> None:
    with pytest.raises(InvalidValue):
        layout.path(PREFIX, Key("", "pods", "d", name))


def test_what_is_no_object_has_no_key() -> None:
    assert layout.key_of(PREFIX, PREFIX + b".mark") is None


def test_revisions_of_one_transaction_are_between_those_of_its_neighbours() -> None:
    assert layout.last(6) < layout.first(7) <= layout.first(7) + 5 <= layout.last(7) < layout.first(8)
    assert {layout.of_etcd(layout.first(7)), layout.of_etcd(layout.last(7))} == {7}


def test_a_value_gets_its_revision_when_it_is_read() -> None:
    tricky = '"resourceVersion":"0"'
    value = json.dumps({"metadata": {"name": "a", "annotations": {"x": tricky}}, "spec": tricky}).encode()
    draft = layout.draft(lambda revision: metadata.created(value, revision))
    assert draft is not None
    packed = layout.unpack(draft.packed(3, b"12345678"), b"k")
    assert (packed.place, packed.transaction) == (3, b"12345678")
    stored = packed.stored(Key("", "pods", "d", "a"), 7)
    assert stored.revision == 7 * 1024 + 3
    document = json.loads(stored.value)
    assert document["metadata"]["resourceVersion"] == str(stored.revision)
    assert (document["metadata"]["annotations"]["x"], document["spec"]) == (tricky, tricky)


def test_nothing_to_write_is_no_draft() -> None:
    assert layout.draft(lambda _revision: None) is None


@pytest.mark.parametrize(
    "raw", [b"", b"x", b'{"kind":"Pod"}', b"\x02" + bytes(20), b"\x01\xff\xff" + bytes(20)]
)
def test_what_others_wrote_is_refused(raw: bytes) -> None:
    with pytest.raises(StoreUnavailable, match="no object of this program"):
        layout.unpack(raw, b"/tsujiban/c/core/pods/d/a")
