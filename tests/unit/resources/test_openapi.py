from __future__ import annotations

from typing import Any

from tsujiban.resources import openapi
from tsujiban.resources.kinds.netpol import NetworkPolicyPort
from tsujiban.resources.registry import KINDS, kind_for


def definitions(api_version: str, kind: str, *, v3: bool = True) -> dict[str, Any]:
    return openapi.gathered([(kind_for(api_version, kind), api_version)], "#/", v3=v3)


def test_types_and_list_rules() -> None:
    found = definitions("v1", "Pod")
    containers = found["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["items"] == {"$ref": "#/io.k8s.api.core.v1.Container"}
    assert containers["x-kubernetes-list-map-keys"] == ["name"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert found["io.k8s.api.core.v1.PodSpec"]["properties"]["tolerations"]["type"] == "array"
    assert found["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["properties"]["labels"] == {
        "description": "What selectors choose objects by.",
        "type": "object",
        "additionalProperties": {"type": "string"},
    }


def test_a_number_or_a_name() -> None:
    name = "io.k8s.api.networking.v1.NetworkPolicyPort"
    port = definitions("networking.k8s.io/v1", "NetworkPolicy", v3=False)[name]["properties"]["port"]
    assert (port["type"], port["format"]) == ("string", "int-or-string")
    assert "oneOf" in definitions("networking.k8s.io/v1", "NetworkPolicy")[name]["properties"]["port"]


def test_fields_are_described_by_the_sentences_that_name_them() -> None:
    assert "`endPort`" not in openapi.described(NetworkPolicyPort)
    name = "io.k8s.api.networking.v1.NetworkPolicyPort"
    found = definitions("networking.k8s.io/v1", "NetworkPolicy")[name]["properties"]
    assert found["protocol"]["description"] == "`protocol` defaults to TCP."


def test_nothing_is_said_twice() -> None:
    """kubectl shows a field's words, and then those of the definition that it refers to."""
    found = openapi.gathered([(kind, kind.api_version) for kind in KINDS], "#/", v3=True)
    for name, definition in found.items():
        for field, value in definition.get("properties", {}).items():
            behind = [part["$ref"] for part in value.get("allOf", ())]
            behind += [
                value[inner].get("$ref", "") for inner in ("items", "additionalProperties") if inner in value
            ]
            for reference in filter(None, behind):
                if field != "items" or not name.endswith("List"):
                    assert value["description"], f"{name}.{field}"
                    assert "description" not in found[reference.removeprefix("#/")], f"{name}.{field}"
    spec = found["io.k8s.api.core.v1.Pod"]["properties"]["spec"]
    assert spec["description"] == "What is wanted. What a pod runs, where, and as whom."


def test_names_do_not_collide_between_groups() -> None:
    names = [openapi.kind_name(kind, version) for kind in KINDS for version in kind.versions]
    assert len(names) == len(set(names))
    both = openapi.gathered([(kind, kind.api_version) for kind in KINDS], "#/", v3=True)
    calico = both["org.projectcalico.v3.NetworkPolicySpec"]["properties"]
    assert "order" in calico
    assert "order" not in both["io.k8s.api.networking.v1.NetworkPolicySpec"]["properties"]


def test_every_kind_has_a_schema_and_a_list() -> None:
    for kind in KINDS:
        found = definitions(kind.api_version, kind.kind)
        name = openapi.kind_name(kind, kind.api_version)
        (known,) = found[name]["x-kubernetes-group-version-kind"]
        assert known == {"group": kind.group, "version": kind.version, "kind": kind.kind}
        assert name + "List" in found
