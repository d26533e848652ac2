from __future__ import annotations

import typing
from collections.abc import Iterator

import msgspec
import pytest

from tsujiban.resources import schema, shape
from tsujiban.resources.kinds.meta import Shape
from tsujiban.resources.kinds.parts import Capabilities
from tsujiban.resources.kinds.volumes import KeyToPath
from tsujiban.resources.registry import KINDS, kind_for

POD = schema.of(kind_for("v1", "Pod"))


def down(of: schema.Schema, *names: str) -> schema.Schema:
    for name in names:
        of = schema.item(of) if name == "[]" else schema.field(of, name)
    return of


def test_rules_stand_at_fields() -> None:
    assert down(POD, "spec", "containers").rule.keys == ("name",)
    assert down(POD, "spec", "containers", "[]", "ports").rule.keys == ("containerPort", "protocol")
    assert down(POD, "metadata", "finalizers").rule.is_set
    assert down(POD, "spec", "nodeSelector").atomic
    assert not down(POD, "metadata", "labels").atomic


def test_the_selector_of_a_policy_is_one_value_and_its_rules_are_not_divided() -> None:
    policy = schema.of(kind_for("networking.k8s.io/v1", "NetworkPolicy"))
    assert down(policy, "spec", "podSelector").atomic
    assert down(policy, "spec", "ingress").rule == schema.PLAIN
    assert down(policy, "spec", "ingress", "[]", "ports").rule == schema.PLAIN


def test_data_without_a_struct() -> None:
    deployment = schema.of(kind_for("apps/v1", "Deployment"))
    assert down(deployment, "status", "conditions").rule.keys == ("type",)
    event = schema.of(kind_for("v1", "Event"))
    assert down(event, "series", "count").type is typing.Any


@pytest.mark.parametrize("rule", sorted(rule for rule in schema._RULES if not rule.startswith("*")))
def test_every_rule_is_of_a_field_that_exists(rule: str) -> None:
    struct, _, name = rule.partition(".")
    known = {s.__name__: s for kind in KINDS for s in _structs(kind.type, set())}
    assert name in shape.fields(known[struct])


def _structs(of: typing.Any, seen: set[typing.Any]) -> set[typing.Any]:
    if of in seen:
        return seen
    if isinstance(of, type) and hasattr(of, "__struct_fields__"):
        seen.add(of)
        for found in shape.fields(of).values():
            _structs(found, seen)
    else:
        for found in typing.get_args(of):
            _structs(found, seen)
    return seen


def test_names_that_clients_make_up_fill_no_memory() -> None:
    for number in range(2 * schema.KNOWN_FIELDS):
        schema.field(POD, f"made-up-{number}")
    assert schema._field.cache_info().currsize <= schema.KNOWN_FIELDS


def test_parts_that_are_kept_as_plain_data_are_known() -> None:
    template = down(schema.of(kind_for("apps/v1", "Deployment")), "spec", "template", "spec")
    volumes = schema.field(template, "volumes")
    assert volumes.rule.keys == ("name",)
    assert down(schema.item(volumes), "configMap", "items").type == tuple[KeyToPath, ...]
    container = schema.item(schema.field(template, "containers"))
    assert down(container, "resources", "limits").type == dict[str, typing.Any]
    assert down(container, "securityContext", "capabilities").struct is Capabilities


def test_what_is_known_elsewhere_is_plain_data_in_its_kind() -> None:
    """A field that has got a struct of its own is told by that one."""
    structs = {struct.__name__: struct for struct in _subclasses(Shape)}
    for title in schema._TYPES:
        struct, _, field = title.partition(".")
        assert "typing.Any" in str(shape.fields(structs[struct])[field]), title


def _subclasses(of: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for found in of.__subclasses__():
        yield found
        yield from _subclasses(found)
