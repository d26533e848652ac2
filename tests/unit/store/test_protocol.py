from __future__ import annotations

from tsujiban.store.protocol import Compacted, Conflict, Event, EventType, Key, NotFound, Stored


def test_keys_read_as_kubectl_writes_them() -> None:
    assert str(Key("", "pods", "n", "a")) == "pods n/a"
    assert str(Key("apps", "deployments", "n", "a")) == "deployments.apps n/a"
    assert str(Key("", "nodes", "", "a")) == "nodes a"


def test_keys_sort_by_kind_namespace_name() -> None:
    keys = [Key("", "pods", "b", "a"), Key("", "pods", "a", "b"), Key("", "nodes", "", "z")]
    assert [str(key) for key in sorted(keys)] == ["nodes z", "pods a/b", "pods b/a"]


def test_errors_say_what_and_what_to_do() -> None:
    key = Key("", "pods", "n", "a")
    assert str(NotFound(key)) == "pods n/a not found"
    assert "expected 1, found 2" in str(Conflict(key, 1, 2))
    assert "list again" in str(Compacted(1, 2))


def test_an_event_has_the_revision_of_its_object() -> None:
    assert Event(EventType.ADDED, Stored(Key("", "pods", "n", "a"), b"{}", 7)).revision == 7
