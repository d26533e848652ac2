"""Every sentence is about a field that there is, and no field that people use often is without one."""

from __future__ import annotations

import pytest

from tsujiban.resources import openapi, words
from tsujiban.resources.registry import KINDS, kind_for


def test_every_sentence_is_about_a_field_that_there_is() -> None:
    definitions = openapi.gathered([(kind, kind.api_version) for kind in KINDS], "", v3=False)
    known = {
        f"{name.rpartition('.')[2]}.{field}"
        for name, struct in definitions.items()
        for field in struct.get("properties", ())
    }
    assert words.SAID.keys() - known == set()
    assert all(text.endswith(".") and text[0].isascii() for text in words.SAID.values())


@pytest.mark.parametrize(
    ("api_version", "kind", "struct"),
    [
        ("v1", "Pod", "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"),
        ("v1", "Service", "io.k8s.api.core.v1.ServicePort"),
        ("v1", "Pod", "io.k8s.api.core.v1.Probe"),
        ("projectcalico.org/v3", "NetworkPolicy", "org.projectcalico.v3.EntityRule"),
        ("projectcalico.org/v3", "GlobalNetworkPolicy", "org.projectcalico.v3.GlobalNetworkPolicySpec"),
        ("security.istio.io/v1", "AuthorizationPolicy", "io.istio.security.v1.Operation"),
        ("networking.k8s.io/v1", "NetworkPolicy", "io.k8s.api.networking.v1.NetworkPolicySpec"),
    ],
)
def test_what_people_look_up_is_told(api_version: str, kind: str, struct: str) -> None:
    definitions = openapi.gathered([(kind_for(api_version, kind), api_version)], "", v3=False)
    fields = definitions[struct]["properties"]
    untold = {
        name
        for name, of in fields.items()
        if not of.get("description") and not definitions.get(of.get("$ref", ""), {}).get("description")
    }
    assert untold == set()
