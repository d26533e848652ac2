"""The kinds' structs as OpenAPI schemas: for `kubectl explain`, for clients that validate, for generated
clients.

Types, names and list rules come from the structs and `resources.schema`, descriptions from their
docstrings: what a field means is said by the sentence that names it, and by what its struct is. A field says
both, and the definition that it refers to says nothing: in a list of fields kubectl shows only their own
words, and of one field its definition's after them. Source: OpenAPI 2.0 and 3.0; Kubernetes'
`x-kubernetes-…` extensions.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable
from typing import Any

import msgspec

from tsujiban.resources import schema, shape, versions, words
from tsujiban.resources.kinds.meta import Object, Status
from tsujiban.resources.registry import Kind
from tsujiban.resources.schema import Schema

Json = dict[str, Any]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_PACKAGES = {
    "meta": _META,
    "core": "io.k8s.api.core.v1",
    "parts": "io.k8s.api.core.v1",
    "volumes": "io.k8s.api.core.v1",
    "env": "io.k8s.api.core.v1",
    "apps": "io.k8s.api.apps.v1",
    "batch": "io.k8s.api.batch.v1",
    "netpol": "io.k8s.api.networking.v1",
    "rbac": "io.k8s.api.rbac.v1",
    "disruption": "io.k8s.api.policy.v1",
    "ingress": "io.k8s.api.networking.v1",
    "storage": "io.k8s.api.core.v1",
    "certificates": "io.k8s.api.certificates.v1",
    "authorization": "io.k8s.api.authorization.v1",
    "calico": "org.projectcalico.v3",
    "felix": "org.projectcalico.v3",
    "istio": "io.istio.security.v1",
    "cnp": "io.k8s.networking.policy",
}
_COMMON: dict[tuple[bool, str], str] = {
    (True, "apiVersion"): "Group and version of the kind.",
    (True, "kind"): "The kind, in CamelCase.",
    (True, "metadata"): "Name, namespace, labels, and what the server keeps of every object.",
    (True, "spec"): "What is wanted.",
    (True, "status"): "What is; written by the control plane.",
}
_SCALARS: dict[Any, Json] = {
    str: {"type": "string"},
    int: {"type": "integer", "format": "int64"},
    float: {"type": "number", "format": "double"},
    bool: {"type": "boolean"},
}
_INT_OR_STRING = frozenset({int, str})


class Schemas:
    """Definitions by name, gathered as they are referred to. `prefix` is where references point."""

    def __init__(self, prefix: str, *, v3: bool) -> None:
        self.definitions: dict[str, Json] = {}
        self._prefix = prefix
        self._v3 = v3

    def add(self, kind: Kind, api_version: str) -> str:
        """A kind in one of its versions, and its list; returns the kind's name."""
        name = kind_name(kind, api_version)
        if name in self.definitions:
            return name
        group, _, version = api_version.rpartition("/")
        known = [{"group": group, "version": version, "kind": kind.kind}]
        found = self._struct(kind.type)
        found["properties"] = versions.renamed(found["properties"], api_version)
        self.definitions[name] = {**found, "x-kubernetes-group-version-kind": known}
        items = {"type": "array", "items": self._refer(name)}
        self.definitions[name + "List"] = {
            "type": "object",
            "description": f"{kind.kind}List is a list of {kind.kind}.",
            "required": ["items"],
            "properties": {
                "apiVersion": {"type": "string", "description": _COMMON[True, "apiVersion"]},
                "kind": {"type": "string", "description": _COMMON[True, "kind"]},
                "metadata": {"type": "object", "description": "resourceVersion, and where the list goes on."},
                "items": {**items, "description": "The objects."},
            },
            "x-kubernetes-group-version-kind": [{**known[0], "kind": f"{kind.kind}List"}],
        }
        return name

    def refer(self, struct: type[msgspec.Struct]) -> Json:
        """A reference to a struct's definition."""
        name = f"{_PACKAGES[struct.__module__.rpartition('.')[2]]}.{struct.__name__}"
        if name not in self.definitions:
            self.definitions[name] = {}  # recursion ends here
            self.definitions[name] = self._struct(struct)
            del self.definitions[name]["description"]
        return self._refer(name)

    def _refer(self, name: str) -> Json:
        return {"$ref": self._prefix + name}

    def _struct(self, struct: type[msgspec.Struct]) -> Json:
        of = Schema(struct)
        properties = {
            name: self._field(struct, name, schema.field(of, name)) for name in shape.fields(struct)
        }
        found: Json = {"type": "object", "description": described(struct), "properties": properties}
        if issubclass(struct, Status):
            found["x-kubernetes-preserve-unknown-fields"] = True
        if of.atomic:
            found["x-kubernetes-map-type"] = "atomic"
        return found

    def _field(self, owner: type[msgspec.Struct], name: str, of: Schema) -> Json:
        value = self._value(of)
        inner = _behind(of)
        said = _said_of(owner, name), described(inner) if inner is not None else ""
        description = " ".join(dict.fromkeys(filter(None, said)))
        if "$ref" in value and self._v3:
            value = {"allOf": [value]}
        return {"description": description, **value} if description else value

    def _value(self, of: Schema) -> Json:
        if schema.is_list(of):
            return {"type": "array", "items": self._value(schema.item(of)), **_list_rules(of)}
        if of.struct is not None:
            return self.refer(of.struct)
        if typing.get_origin(of.type) is dict:
            found: Json = {"type": "object", "additionalProperties": self._value(schema.field(of, ""))}
            return found | ({"x-kubernetes-map-type": "atomic"} if of.atomic else {})
        options = frozenset(typing.get_args(of.type))
        if options == _INT_OR_STRING:
            if self._v3:
                text = {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"}
            else:
                text = {"type": "string", "format": "int-or-string"}
            return {**text, "x-kubernetes-int-or-string": True}
        scalar = _SCALARS.get(of.type)
        return dict(scalar) if scalar is not None else {"x-kubernetes-preserve-unknown-fields": True}


def _behind(of: Schema) -> type[msgspec.Struct] | None:
    """The struct that a field holds, itself or as items or values."""
    if schema.is_list(of):
        return _behind(schema.item(of))
    if typing.get_origin(of.type) is dict:
        return _behind(schema.field(of, ""))
    return of.struct


def kind_name(kind: Kind, api_version: str) -> str:
    """The name of a kind's definition: `io.k8s.api.apps.v1.Deployment`, `org.projectcalico.v3.Tier`."""
    group, _, version = api_version.rpartition("/")
    if schema.built_in(kind):
        package = f"io.k8s.api.{group.partition('.')[0] or 'core'}"
    else:
        package = ".".join(reversed(group.split(".")))
    return f"{package}.{version}.{kind.kind}"


def described(struct: type[msgspec.Struct]) -> str:
    """A struct's docstring as plain text, with the names of fields as manifests write them."""
    text = " ".join((struct.__doc__ or "").split())
    return _named(text, struct)


def _named(text: str, struct: type[msgspec.Struct]) -> str:
    names = dict(zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True))
    return re.sub(r"`(\w+)`", lambda match: f"`{names.get(match[1], match[1])}`", text)


def _said_of(owner: type[msgspec.Struct], name: str) -> str:
    common = _COMMON.get((issubclass(owner, Object), name))
    if common:
        return common
    sentences = re.split(r"(?<=[.;:])\s+", described(owner))
    said = " ".join(sentence for sentence in sentences if f"`{name}`" in sentence)
    if said:
        return said
    known = (words.SAID.get(f"{base.__name__}.{name}") for base in owner.__mro__)
    return next((text for text in known if text is not None), "")


def _list_rules(of: Schema) -> Json:
    rule = of.rule
    if rule.is_set:
        found: Json = {"x-kubernetes-list-type": "set"}
    elif rule.keys:
        found = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(rule.keys)}
    else:
        return {"x-kubernetes-list-type": "atomic"}
    strategy = "merge,retainKeys" if rule.retain else "merge"
    found["x-kubernetes-patch-strategy"] = strategy
    if rule.keys:
        found["x-kubernetes-patch-merge-key"] = rule.keys[0]
    return found


def gathered(kinds: Iterable[tuple[Kind, str]], prefix: str, *, v3: bool) -> dict[str, Json]:
    """Definitions of kinds in versions, and of all that they refer to."""
    schemas = Schemas(prefix, v3=v3)
    for kind, api_version in kinds:
        schemas.add(kind, api_version)
    return schemas.definitions
