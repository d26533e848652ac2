from __future__ import annotations

from typing import Any

import pytest

from tsujiban.controller.api import fields
from tsujiban.controller.api.fields import NotFields
from tsujiban.resources import schema
from tsujiban.resources.registry import kind_for

POD = schema.of(kind_for("v1", "Pod"))


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), **spec}}


def test_a_list_with_keys_is_divided_and_an_atomic_one_is_not() -> None:
    found = fields.leaves(pod({"name": "a", "args": ["x"]}, tolerations=[{"key": "k"}]), POD)
    item = ("f:spec", "f:containers", 'k:{"name":"a"}')
    assert found[(*item, "f:args")] == ["x"]
    assert found[(*item, "f:name")] == "a"
    assert item in found
    assert found["f:spec", "f:tolerations"] == [{"key": "k"}]


def test_a_key_that_is_not_written_has_its_default() -> None:
    found = fields.fields(pod({"name": "a", "ports": [{"containerPort": 80}]}), POD)
    assert (
        "f:spec",
        "f:containers",
        'k:{"name":"a"}',
        "f:ports",
        'k:{"containerPort":80,"protocol":"TCP"}',
    ) in found


def test_members_of_a_set_and_what_no_struct_says() -> None:
    found = fields.fields({"metadata": {"finalizers": ["x"]}, "status": {"conditions": [{"type": "R"}]}}, POD)
    assert ("f:metadata", "f:finalizers", 'v:"x"') in found
    assert ("f:status", "f:conditions", 'k:{"type":"R"}', "f:type") in found


def test_a_selector_is_one_value() -> None:
    deployment = schema.of(kind_for("apps/v1", "Deployment"))
    found = fields.fields({"spec": {"selector": {"matchLabels": {"a": "b"}}}}, deployment)
    assert found == {("f:spec", "f:selector")}


def test_the_same_item_twice() -> None:
    twice = pod({"name": "a"}, {"name": "a"})
    with pytest.raises(NotFields, match="twice"):
        fields.fields(twice, POD, strict=True)
    assert fields.fields(twice, POD) == {("f:spec", "f:containers")}
    with pytest.raises(NotFields, match="lacks a key"):
        fields.fields(pod({"image": "x"}), POD, strict=True)


def test_the_written_form() -> None:
    found = fields.fields({"metadata": {"labels": {"a": "b"}}, **pod({"name": "a", "image": "i"})}, POD)
    written = fields.encode(found)
    assert written == {
        "f:metadata": {"f:labels": {"f:a": {}}},
        "f:spec": {"f:containers": {'k:{"name":"a"}': {".": {}, "f:image": {}, "f:name": {}}}},
    }
    assert fields.decode(written) == found


@pytest.mark.parametrize("bad", [[], {"x": {}}, {"f:a": 1}, {"k:{": {}}, "text", None])
def test_what_is_no_written_form(bad: Any) -> None:
    with pytest.raises(NotFields):
        fields.decode(bad)


def test_a_written_form_without_end() -> None:
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"f:a": deep}
    with pytest.raises(NotFields, match="deep"):
        fields.decode(deep)


def test_merging_keeps_what_is_not_said_and_the_order_of_what_is() -> None:
    live = pod({"name": "a", "image": "1"}, {"name": "injected"}, nodeName="n")
    merged = fields.merged(live, pod({"name": "new"}, {"name": "a", "image": "2"}), POD)
    assert merged == pod({"name": "new"}, {"name": "a", "image": "2"}, {"name": "injected"}, nodeName="n")
    assert live["spec"]["containers"][0]["image"] == "1"


def test_what_is_empty_without_a_field_goes_with_it() -> None:
    document = {"metadata": {"labels": {"a": "b"}, "name": "x"}}
    label: fields.Path = ("f:metadata", "f:labels", "f:a")
    assert fields.without(document, POD, {label}, set()) == {"metadata": {"name": "x"}}
    kept: set[fields.Path] = {("f:metadata", "f:labels")}
    assert fields.without(document, POD, {label}, kept) == {"metadata": {"labels": {}, "name": "x"}}


def test_how_a_path_is_shown() -> None:
    path = ("f:spec", "f:containers", 'k:{"name":"a"}', "f:image")
    assert fields.shown(path) == '.spec.containers[name="a"].image'
    assert fields.shown(("f:metadata", "f:finalizers", 'v:"x"')) == '.metadata.finalizers[="x"]'
