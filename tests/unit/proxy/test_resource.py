from __future__ import annotations

import pytest

from tsujiban.proxy.encode import Typed
from tsujiban.proxy.resource import Kind, Resource, collect

BODY = {"name": "a", "type": "STATIC", "connect_timeout": "1s"}


def test_the_version_is_the_content_s_whatever_the_order_of_its_keys() -> None:
    again = Resource(Kind.CLUSTER, "a", dict(reversed(BODY.items())))
    assert Resource(Kind.CLUSTER, "a", BODY).version == again.version
    assert Resource(Kind.CLUSTER, "a", {**BODY, "connect_timeout": "2s"}).version != again.version


def test_the_version_of_a_filter_is_of_its_name_and_its_configuration() -> None:
    def version(name: str, value: str) -> str:
        config = Typed({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": value})
        return Resource(Kind.EXTENSION, name, {"name": name, "typed_config": config}).version

    assert version("a", "x") == version("a", "x")
    assert len({version("a", "x"), version("a", "y"), version("b", "x")}) == 3


def test_it_is_encoded_once_and_read_back() -> None:
    one = Resource(Kind.CLUSTER, "a", BODY)
    before = one.message()
    assert one.encoded() is one.encoded()
    assert one.message() == before


def test_a_field_that_envoy_does_not_have_is_an_error() -> None:
    with pytest.raises(ValueError, match="no field 'nmae'"):
        Resource(Kind.CLUSTER, "a", {"nmae": "a"}).encoded()


def test_resources_are_collected_by_kind_and_name() -> None:
    one = Resource(Kind.CLUSTER, "a", BODY)
    table = collect([one])
    assert table[Kind.CLUSTER] == {"a": one}
    assert table[Kind.LISTENER] == {}
    assert "CLUSTER" in repr(one)
