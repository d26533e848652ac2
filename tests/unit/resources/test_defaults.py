"""What absent fields mean."""

from __future__ import annotations

import pytest

from tsujiban.resources import defaults
from tsujiban.resources.kinds import apps, calico, core, netpol

RULE = calico.Rule(action="Allow")


@pytest.mark.parametrize(
    ("spec", "types"),
    [
        (calico.NetworkPolicySpec(), ("Ingress",)),
        (calico.NetworkPolicySpec(ingress=(RULE,)), ("Ingress",)),
        (calico.NetworkPolicySpec(egress=(RULE,)), ("Egress",)),
        (calico.NetworkPolicySpec(ingress=(RULE,), egress=(RULE,)), ("Ingress", "Egress")),
        (calico.NetworkPolicySpec(egress=(RULE,), types=("Ingress",)), ("Ingress",)),
    ],
)
def test_types_of_calico(spec: calico.NetworkPolicySpec, types: tuple[str, ...]) -> None:
    assert defaults.calico_types(spec) == types


def test_types_of_kubernetes() -> None:
    rule = netpol.NetworkPolicyEgressRule()
    assert defaults.kubernetes_types(netpol.NetworkPolicySpec()) == ("Ingress",)
    assert defaults.kubernetes_types(netpol.NetworkPolicySpec(egress=(rule,))) == ("Ingress", "Egress")
    assert defaults.kubernetes_types(netpol.NetworkPolicySpec(policy_types=("Egress",))) == ("Egress",)


def test_tiers() -> None:
    absent = calico.TierSpec()
    assert defaults.tier(calico.NetworkPolicySpec()) == "default"
    assert defaults.tier_order("default", absent) == 1_000_000
    assert defaults.tier_action("kube-admin", absent) == "Pass"
    assert defaults.tier_order("mine", absent) == float("inf")
    assert defaults.tier_action("mine", absent) == "Deny"
    assert defaults.tier_order("mine", calico.TierSpec(order=5)) == 5
    assert defaults.policy_order(calico.NetworkPolicySpec()) == float("inf")


def test_the_rest() -> None:
    assert defaults.namespace("") == "default"
    assert defaults.protocol(None) == "TCP"
    assert defaults.staged_action("") == "Set"
    assert defaults.service_account(core.PodSpec()) == "default"
    assert defaults.service_account(core.PodSpec(service_account="old")) == "old"
    assert defaults.replicas(apps.DeploymentSpec()) == 1
    assert defaults.replicas(apps.DeploymentSpec(replicas=0)) == 0
    assert defaults.target_port(core.ServicePort(port=80)) == 80
    assert defaults.target_port(core.ServicePort(port=80, target_port="http")) == "http"
    assert defaults.namespace_labels("a", {"x": "y"}) == {"x": "y", "kubernetes.io/metadata.name": "a"}
    assert defaults.block_size(calico.IPPoolSpec(cidr="10.0.0.0/8")) == 26
    assert defaults.block_size(calico.IPPoolSpec(cidr="fd00::/48")) == 122
    assert defaults.block_size(calico.IPPoolSpec(cidr="10.0.0.0/8", block_size=28)) == 28
