"""Calico's reference, "Profile": what exists without an object."""

from __future__ import annotations

import pytest

from tsujiban.policy.profiles import default_profile
from tsujiban.policy.program import Action


@pytest.mark.parametrize("name", ["kns.default", "kns.x", "projectcalico-default-allow"])
def test_a_namespaces_profile_allows_both_ways(name: str) -> None:
    program = default_profile(f"_profile/{name}")
    assert [(r.id, r.action) for r in program.ingress] == [(f"_profile/{name}/ingress/0", Action.ALLOW)]
    assert [(r.id, r.action) for r in program.egress] == [(f"_profile/{name}/egress/0", Action.ALLOW)]


@pytest.mark.parametrize(
    "name", ["ksa.x.default", "mine", "knsx", "not-kns.x", "projectcalico-default-allow2"]
)
def test_any_other_has_no_rules(name: str) -> None:
    program = default_profile(f"_profile/{name}")
    assert program.id == f"_profile/{name}"
    assert program.ingress == ()
    assert program.egress == ()
