from __future__ import annotations

import copy
from typing import Any

import pytest

from tsujiban.controller.api.errors import ApiError
from tsujiban.controller.api.patch import json_patch, merge_patch, strategic_merge
from tsujiban.resources import schema
from tsujiban.resources.registry import kind_for


# RFC 7386, appendix A
@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(document: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy(document)
    assert merge_patch(document, patch) == result
    assert document == before


# RFC 6902, appendix A, and its corners
@pytest.mark.parametrize(
    ("document", "operations", "result"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
        ({"foo": [1, 3]}, [{"op": "add", "path": "/foo/1", "value": 2}], {"foo": [1, 2, 3]}),
        ({"foo": [1]}, [{"op": "add", "path": "/foo/-", "value": 2}], {"foo": [1, 2]}),
        ({"a": 1, "b": 2}, [{"op": "remove", "path": "/a"}], {"b": 2}),
        ({"a": [1, 2]}, [{"op": "remove", "path": "/a/0"}], {"a": [2]}),
        ({"a": 1}, [{"op": "replace", "path": "/a", "value": {"x": 1}}], {"a": {"x": 1}}),
        (
            {"a": {"b": 1}, "c": {}},
            [{"op": "move", "from": "/a/b", "path": "/c/d"}],
            {"a": {}, "c": {"d": 1}},
        ),
        ({"a": [1, 2, 3]}, [{"op": "move", "from": "/a/0", "path": "/a/2"}], {"a": [2, 3, 1]}),
        ({"a": 1}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": 1, "b": 1}),
        (
            {"a/b": 1, "m~n": 2},
            [{"op": "test", "path": "/a~1b", "value": 1}, {"op": "remove", "path": "/m~0n"}],
            {"a/b": 1},
        ),
        ({"~1": 1}, [{"op": "remove", "path": "/~01"}], {}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
        ({"": 1}, [{"op": "replace", "path": "/", "value": 2}], {"": 2}),
    ],
)
def test_json_patch(document: Any, operations: Any, result: Any) -> None:
    before = copy.deepcopy(document)
    assert json_patch(document, operations) == result
    assert document == before


@pytest.mark.parametrize(
    "operations",
    [
        {},
        [1],
        [{"op": "add"}],
        [{"op": "nope", "path": "/a"}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "add", "path": "/x"}],
        [{"op": "add", "path": "/x/y", "value": 1}],
        [{"op": "add", "path": "/list/9", "value": 1}],
        [{"op": "add", "path": "/list/01", "value": 1}],
        [{"op": "add", "path": "/list/-1", "value": 1}],
        [{"op": "add", "path": "/list/1e0", "value": 1}],
        [{"op": "remove", "path": "/x"}],
        [{"op": "replace", "path": "/x", "value": 1}],
        [{"op": "test", "path": "/one", "value": True}],
        [{"op": "test", "path": "/one", "value": 2}],
        [{"op": "move", "path": "/one"}],
        [{"op": "move", "from": "/map", "path": "/map/in"}],
        [{"op": "remove", "path": "/one/two"}],
        [{"op": "remove", "path": ""}],
        [{"op": "move", "from": "", "path": ""}],
        [{"op": "test", "path": "/one", "value": 1}] * 10_001,
    ],
)
def test_bad_json_patches(operations: Any) -> None:
    with pytest.raises(ApiError) as refused:
        json_patch({"one": 1, "list": [1], "map": {}}, operations)
    assert refused.value.code in (400, 422)


POD = {
    "metadata": {"finalizers": ["a"]},
    "spec": {
        "containers": [{"name": "web", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "log"}],
        "tolerations": [{"key": "a"}],
    },
}


@pytest.mark.parametrize(
    ("patch", "path", "result"),
    [
        ({"spec": {"containers": [{"name": "web", "image": "2"}]}}, ("spec", "containers", 0, "image"), "2"),
        (
            {"spec": {"containers": [{"name": "web", "env": [{"name": "Y", "value": "2"}]}]}},
            ("spec", "containers", 0, "env"),
            [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}],
        ),
        (
            {"spec": {"containers": [{"name": "web", "$patch": "delete"}]}},
            ("spec", "containers"),
            [{"name": "log"}],
        ),
        (
            {"spec": {"containers": [{"$patch": "replace"}, {"name": "new"}]}},
            ("spec", "containers"),
            [{"name": "new"}],
        ),
        ({"spec": {"tolerations": [{"key": "b"}]}}, ("spec", "tolerations"), [{"key": "b"}]),
        ({"spec": {"tolerations": None}}, ("spec",), {"containers": POD["spec"]["containers"]}),  # type: ignore[index]
        ({"metadata": {"finalizers": ["b", "a"]}}, ("metadata", "finalizers"), ["a", "b"]),
        ({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}, ("metadata", "finalizers"), []),
        ({"metadata": {"$patch": "replace", "name": "x"}}, ("metadata",), {"name": "x"}),
        ({"spec": {"$retainKeys": ["tolerations"]}}, ("spec",), {"tolerations": [{"key": "a"}]}),
        (
            {
                "spec": {
                    "$setElementOrder/containers": [{"name": "log"}, {"name": "web"}],
                    "containers": [{"name": "web"}],
                }
            },
            ("spec", "containers", 0),
            {"name": "log"},
        ),
    ],
)
def test_strategic_merge(patch: Any, path: tuple[Any, ...], result: Any) -> None:
    before = copy.deepcopy(POD)
    found: Any = strategic_merge(POD, patch, schema.of(kind_for("v1", "Pod")))
    for step in path:
        found = found[step]
    assert found == result
    assert before == POD


@pytest.mark.parametrize(
    "patch",
    [
        {"spec": {"$patch": "mix"}},
        {"spec": {"$retainKeys": "tolerations"}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": "a"}},
        {"spec": {"$setElementOrder/containers": {}, "containers": [{"name": "web"}]}},
        {"spec": {"containers": [{"image": "2"}]}},
    ],
)
def test_bad_strategic_patches(patch: Any) -> None:
    with pytest.raises(ApiError) as refused:
        strategic_merge(POD, patch, schema.of(kind_for("v1", "Pod")))
    assert refused.value.code == 400


def test_an_item_is_meant_by_the_first_key_alone() -> None:
    service = {"spec": {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 80}]}}
    patch = {"spec": {"ports": [{"port": 53, "$patch": "delete"}]}}
    merged = strategic_merge(service, patch, schema.of(kind_for("v1", "Service")))
    assert merged["spec"]["ports"] == [{"port": 80}]


def test_an_order_without_a_change_of_items() -> None:
    patch = {"spec": {"$setElementOrder/containers": [{"name": "log"}, {"name": "web"}]}}
    merged = strategic_merge(POD, patch, schema.of(kind_for("v1", "Pod")))
    assert [container["name"] for container in merged["spec"]["containers"]] == ["log", "web"]


def test_ports_of_one_number_differ_by_protocol() -> None:
    service = {"spec": {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}}
    patch = {"spec": {"ports": [{"port": 53, "protocol": "TCP", "name": "tcp"}]}}
    assert strategic_merge(service, patch, schema.of(kind_for("v1", "Service")))["spec"]["ports"] == [
        {"port": 53, "protocol": "UDP"},
        {"port": 53, "protocol": "TCP", "name": "tcp"},
    ]


def test_a_patch_that_copies_a_value_into_itself() -> None:
    """Each operation doubles the annotations: thirty would make a thousand million of them."""
    document = {"metadata": {"annotations": {"a": "b"}}}
    where = "/metadata/annotations"
    bomb = [{"op": "copy", "from": where, "path": f"{where}/{number}"} for number in range(30)]
    with pytest.raises(ApiError, match="copy more than") as refused:
        json_patch(document, bomb)
    assert refused.value.code == 422
    assert json_patch(document, bomb[:2])["metadata"]["annotations"]["1"] == {"a": "b", "0": {"a": "b"}}


def test_a_strategic_patch_of_many_items() -> None:
    """Each item was looked for among all others: these held the whole server up for an hour."""
    service, of = kind_for("v1", "Service"), schema.of(kind_for("v1", "Service"))
    assert service.plural == "services"
    items = [{"port": number, "protocol": f"P{number % 7}"} for number in range(30_000)]
    merged = strategic_merge({"spec": {"ports": [{"port": 1}]}}, {"spec": {"ports": items}}, of)
    assert merged["spec"]["ports"] == [{"port": 1}, *items]
    names = [f"x.io/{number}" for number in range(30_000)]
    patch = {"metadata": {"finalizers": names, "$deleteFromPrimitiveList/ownerReferences": names}}
    merged = strategic_merge({"metadata": {"finalizers": ["a.io/b"], "ownerReferences": names}}, patch, of)
    assert merged["metadata"] == {"finalizers": ["a.io/b", *names], "ownerReferences": []}


def test_an_item_that_is_merged_twice_and_then_deleted() -> None:
    change = [
        {"name": "web", "image": "2"},
        {"name": "web", "tty": True},
        {"name": "log", "$patch": "delete"},
    ]
    merged = strategic_merge(POD, {"spec": {"containers": change}}, schema.of(kind_for("v1", "Pod")))
    (web,) = merged["spec"]["containers"]
    assert (web["image"], web["tty"]) == ("2", True)


def test_a_merged_item_may_get_another_key() -> None:
    of = schema.of(kind_for("v1", "Service"))
    ports = {"spec": {"ports": [{"port": 53, "protocol": "UDP", "name": "dns"}]}}
    change = [{"port": 53, "$retainKeys": ["port"], "$patch": "merge"}, {"port": 53, "protocol": "UDP"}]
    merged = strategic_merge(ports, {"spec": {"ports": change}}, of)
    assert merged["spec"]["ports"] == [{"port": 53}, {"port": 53, "protocol": "UDP"}]
