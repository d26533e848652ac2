"""Kinds by every name that they have."""

from __future__ import annotations

import pytest

from tsujiban.resources.kinds.meta import Object
from tsujiban.resources.registry import KINDS, Kind, UnknownKind, by_plural, kind_for, resolve


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_kind(kind: Kind) -> None:
    assert issubclass(kind.type, Object)
    assert kind.type.__name__ == kind.kind
    for version in kind.versions:
        assert kind_for(version, kind.kind) is kind
        group, _, number = version.rpartition("/")
        assert by_plural(group, number, kind.plural) is kind
    assert resolve(f"{kind.plural}.{kind.group}" if kind.group else kind.plural) is kind


def test_no_two_kinds_share_a_path() -> None:
    paths = [(kind.group, kind.version, kind.plural) for kind in KINDS]
    assert len(set(paths)) == len(paths)


def test_the_stored_form_of_calico_is_the_same_kind() -> None:
    assert kind_for("crd.projectcalico.org/v1", "Tier") is kind_for("projectcalico.org/v3", "Tier")


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("po", "v1 Pod"),
        ("Deployments", "apps/v1 Deployment"),
        ("np", "networking.k8s.io/v1 NetworkPolicy"),
        ("networkpolicies.projectcalico.org", "projectcalico.org/v3 NetworkPolicy"),
        ("np.projectcalico.org", "projectcalico.org/v3 NetworkPolicy"),
        ("networkpolicies.v3.projectcalico.org", "projectcalico.org/v3 NetworkPolicy"),
        ("gnp", "projectcalico.org/v3 GlobalNetworkPolicy"),
        ("cnp", "policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy"),
        ("pa", "security.istio.io/v1 PeerAuthentication"),
    ],
)
def test_words_of_the_command_line(word: str, kind: str) -> None:
    found = resolve(word)
    assert f"{found.api_version} {found.kind}" == kind


def test_an_unknown_word_names_near_ones() -> None:
    with pytest.raises(UnknownKind) as caught:
        resolve("globalnetworkpolicys")
    assert "globalnetworkpolicies" in caught.value.suggestions


def test_a_wrong_version_names_the_right_one() -> None:
    with pytest.raises(UnknownKind) as caught:
        kind_for("extensions/v1beta1", "NetworkPolicy")
    assert "networking.k8s.io/v1 NetworkPolicy" in caught.value.suggestions
    with pytest.raises(UnknownKind):
        by_plural("", "v1", "widgets")
