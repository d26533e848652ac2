from __future__ import annotations

import pytest
from tests.support.manifests import objects

from tsujiban.policy.compile import compile_object
from tsujiban.policy.definitions import (
    AuthorizationForm,
    NetworkPolicyForm,
    PeerAuthenticationForm,
    ProfileForm,
    RequestAuthenticationForm,
)
from tsujiban.policy.dialects.common import NOWHERE, Place
from tsujiban.policy.dialects.istio import MeshNames
from tsujiban.resources.kinds import calico

MESH = MeshNames("cluster.local")
CALICO, CLUSTER, ISTIO = "projectcalico.org/v3", "policy.networking.k8s.io", "security.istio.io/v1"
RULES = "subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]"


@pytest.mark.parametrize(
    ("version", "kind", "metadata", "spec", "form"),
    [
        ("networking.k8s.io/v1", "NetworkPolicy", "name: p", "podSelector: {}", NetworkPolicyForm),
        (CALICO, "StagedKubernetesNetworkPolicy", "name: p", "podSelector: {}", NetworkPolicyForm),
        (CALICO, "NetworkPolicy", "name: p", "", NetworkPolicyForm),
        (CALICO, "GlobalNetworkPolicy", "name: p", "", NetworkPolicyForm),
        (CALICO, "StagedNetworkPolicy", "name: p", "", NetworkPolicyForm),
        (CALICO, "StagedGlobalNetworkPolicy", "name: p", "", NetworkPolicyForm),
        (CALICO, "StagedGlobalNetworkPolicy", "name: p", "stagedAction: Delete", None),
        (CALICO, "StagedKubernetesNetworkPolicy", "name: p", "stagedAction: Delete, podSelector: {}", None),
        (CALICO, "Profile", "name: p", "", ProfileForm),
        (CALICO, "Tier", "name: t", "order: 1", None),
        (
            f"{CLUSTER}/v1alpha2",
            "ClusterNetworkPolicy",
            "name: p",
            f"tier: Admin, priority: 1, {RULES}",
            NetworkPolicyForm,
        ),
        (f"{CLUSTER}/v1alpha1", "AdminNetworkPolicy", "name: p", f"priority: 1, {RULES}", NetworkPolicyForm),
        (f"{CLUSTER}/v1alpha1", "BaselineAdminNetworkPolicy", "name: default", RULES, NetworkPolicyForm),
        (ISTIO, "AuthorizationPolicy", "name: p", "", AuthorizationForm),
        (ISTIO, "PeerAuthentication", "name: p", "mtls: {mode: STRICT}", PeerAuthenticationForm),
        (ISTIO, "RequestAuthentication", "name: p", "jwtRules: [{issuer: i}]", RequestAuthenticationForm),
        ("v1", "Namespace", "name: x", "", None),
    ],
)
def test_every_policy_kind_has_its_normal_form(
    version: str, kind: str, metadata: str, spec: str, form: type | None
) -> None:
    text = f"apiVersion: {version}\nkind: {kind}\nmetadata: {{{metadata}}}\nspec: {{{spec}}}"
    found = compile_object(objects(text)[0].object, NOWHERE, MESH)
    assert (None if found is None else type(found)) is form


def test_the_form_says_where_each_rule_was_written() -> None:
    (loaded,) = objects(
        """\
        apiVersion: projectcalico.org/v3
        kind: GlobalNetworkPolicy
        metadata: {name: p}
        spec:
          ingress:
          - {action: Deny}
          - {action: Allow}
        """
    )
    form = compile_object(loaded.object, Place(loaded), MESH)
    assert isinstance(form, NetworkPolicyForm)
    assert [rule.origin.line for rule in form.program.ingress] == [6, 7]


@pytest.mark.parametrize(
    "spec",
    [
        calico.GlobalNetworkPolicySpec(selector="app =="),
        calico.GlobalNetworkPolicySpec(ingress=(calico.Rule(action="Maybe"),)),
        calico.GlobalNetworkPolicySpec(ingress=(calico.Rule(action="Allow", protocol="TCPX"),)),
    ],
)
def test_what_validation_would_have_refused_is_refused_here_too(spec: calico.GlobalNetworkPolicySpec) -> None:
    policy = calico.GlobalNetworkPolicy(api_version=CALICO, kind="GlobalNetworkPolicy", spec=spec)
    with pytest.raises(ValueError, match=r"selector|expected|action|protocol"):
        compile_object(policy, NOWHERE, MESH)
