"""What the dialects' references say, clause by clause, as verdicts."""

from __future__ import annotations

import pytest
from tests.support.manifests import judge, world

CALICO = """
apiVersion: projectcalico.org/v3
kind: {kind}
metadata: {{name: p{namespace}}}
spec: {{selector: "app == 'a'", types: [Ingress], ingress: [{rule}]}}
"""


def namespaced(rule: str) -> str:
    return CALICO.format(kind="NetworkPolicy", namespace=", namespace: x", rule=rule)


def anywhere(rule: str) -> str:
    return CALICO.format(kind="GlobalNetworkPolicy", namespace="", rule=rule)


@pytest.mark.parametrize(
    ("rule", "from_b", "from_c"),
    [
        ("{action: Allow}", True, True),
        ("{action: Allow, source: {selector: app == 'b'}}", True, False),  # the policy's namespace alone
        ("{action: Allow, source: {selector: app == 'b', namespaceSelector: all()}}", True, True),
        ("{action: Allow, source: {namespaceSelector: team == 'blue'}}", False, True),
        ("{action: Allow, source: {namespaceSelector: global()}}", False, False),
        ("{action: Allow, source: {notSelector: app == 'zz'}}", True, False),
        ("{action: Allow, source: {serviceAccounts: {names: [sb]}}}", True, False),
        ("{action: Allow, source: {nets: [10.0.0.2/31]}}", True, True),
        ("{action: Allow, source: {notNets: [10.0.0.2/32]}}", False, True),
        ("{action: Allow, protocol: TCP, destination: {ports: [web]}}", True, True),
        ("{action: Allow, protocol: TCP, destination: {ports: ['79:81']}}", True, True),
        ("{action: Allow, protocol: TCP, destination: {notPorts: [80]}}", False, False),
        ("{action: Allow, notProtocol: TCP}", False, False),
        ("{action: Allow, ipVersion: 6}", False, False),
        ("{action: Allow, protocol: UDP}", False, False),
        ("{action: Pass}", True, True),  # past the last tier, to the namespace's profile
    ],
)
def test_calico_rules(rule: str, from_b: bool, from_c: bool) -> None:
    where = world(namespaced(rule))
    assert judge(where, "x/b", "x/a", port=80)[0] is from_b
    assert judge(where, "y/c", "x/a", port=80)[0] is from_c


def test_a_global_policys_selectors_see_every_namespace() -> None:
    where = world(anywhere("{action: Allow, source: {selector: app == 'b'}}"))
    assert judge(where, "x/b", "x/a", port=80)[0]
    assert judge(where, "y/c", "x/a", port=80)[0]


@pytest.mark.parametrize(("rule", "allowed"), [("icmp: {type: 8}", True), ("notICMP: {type: 8}", False)])
def test_icmp(rule: str, allowed: bool) -> None:
    where = world(namespaced(f"{{action: Allow, protocol: ICMP, {rule}}}"))
    assert judge(where, "x/b", "x/a", protocol=1, icmp_type=8, icmp_code=0)[0] is allowed


def test_network_sets_are_selected_like_endpoints() -> None:
    where = world(
        anywhere("{action: Allow, source: {selector: kind == 'office'}}"),
        """
        apiVersion: projectcalico.org/v3
        kind: GlobalNetworkSet
        metadata: {name: office, labels: {kind: office}}
        spec: {nets: [192.0.2.0/24]}
        """,
    )
    assert judge(where, "192.0.2.9", "x/a", port=80)[0]
    assert not judge(where, "198.51.100.1", "x/a", port=80)[0]


TIERED = """
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: first}
spec: {order: 10}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: first.gate}
spec:
  tier: first
  selector: app == 'a'
  types: [Ingress]
  ingress: [{action: Pass, source: {selector: app == 'b'}}]
"""


def test_a_tier_that_selects_decides_or_passes() -> None:
    where = world(TIERED, namespaced("{action: Allow, source: {selector: app == 'b'}}"))
    assert judge(where, "x/b", "x/a", port=80)[1][-1] == "x/p/ingress/0"
    assert judge(where, "y/c", "x/a", port=80)[1] == ("_tier/default/ingress/default",)
    assert judge(where, "192.0.2.1", "x/a", port=80)[1] == ("_tier/first/ingress/default",)
    assert judge(where, "x/a", "x/b", port=80)[0]


def test_order_then_name_decides_between_policies() -> None:
    deny = namespaced("{action: Deny}").replace("name: p,", "name: a-deny,")
    allow = namespaced("{action: Allow}").replace("name: p,", "name: b-allow,")
    assert judge(world(deny, allow), "x/b", "x/a", port=80)[1] == ("x/a-deny/ingress/0",)
    early = allow.replace("spec: {", "spec: {order: 1, ")
    assert judge(world(deny, early), "x/b", "x/a", port=80)[1][-1] == "x/b-allow/ingress/0"


KUBERNETES = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: np, namespace: x}}
spec: {{podSelector: {{matchLabels: {{app: a}}}}, ingress: {rules}}}
"""


@pytest.mark.parametrize(
    ("rules", "from_b", "from_c"),
    [
        ("[]", False, False),
        ("[{}]", True, True),
        ("[{from: [{podSelector: {}}]}]", True, False),
        ("[{from: [{namespaceSelector: {}}]}]", True, True),
        ("[{from: [{namespaceSelector: {matchLabels: {team: blue}}}]}]", False, True),
        ("[{from: [{ipBlock: {cidr: 10.0.0.0/24, except: [10.0.0.3/32]}}]}]", True, False),
        ("[{ports: [{port: web}]}]", True, True),
        ("[{ports: [{port: 70, endPort: 90}]}]", True, True),
        ("[{ports: [{protocol: UDP}]}]", False, False),
        ("[{ports: [{protocol: UDP}, {protocol: TCP}]}]", True, True),
    ],
)
def test_kubernetes_rules(rules: str, from_b: bool, from_c: bool) -> None:
    where = world(KUBERNETES.format(rules=rules))
    assert judge(where, "x/b", "x/a", port=80)[0] is from_b
    assert judge(where, "y/c", "x/a", port=80)[0] is from_c


CLUSTER = """
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {{name: cl}}
spec:
  tier: {tier}
  priority: 1
  subject: {{namespaces: {{matchLabels: {{team: red}}}}}}
  ingress: [{{action: {action}, from: [{{namespaces: {{matchLabels: {{team: blue}}}}}}]}}]
"""


def test_the_administrators_tier_goes_before_the_namespaces_own_and_the_baseline_after() -> None:
    allow = KUBERNETES.format(rules="[{}]")
    admin = world(CLUSTER.format(tier="Admin", action="Deny"), allow)
    assert judge(admin, "y/c", "x/a", port=80)[1] == ("_global/cnp:cl/ingress/0",)
    assert judge(admin, "x/b", "x/a", port=80)[0]
    baseline = world(CLUSTER.format(tier="Baseline", action="Deny"), allow)
    assert judge(baseline, "y/c", "x/a", port=80)[1][-1] == "x/knp:np/ingress/0"
    assert judge(baseline, "y/c", "x/b", port=80)[1] == ("_global/cnp:cl/ingress/0",)
    passed = world(CLUSTER.format(tier="Admin", action="Pass"), KUBERNETES.format(rules="[]"))
    assert judge(passed, "y/c", "x/a", port=80)[1] == ("_tier/default/ingress/default",)


def test_a_profile_object_replaces_what_a_namespace_allows() -> None:
    where = world(
        """
        apiVersion: projectcalico.org/v3
        kind: Profile
        metadata: {name: kns.x}
        spec: {ingress: [{action: Deny}], egress: [{action: Allow}]}
        """
    )
    assert judge(where, "x/b", "x/a", port=80)[1] == ("_profile/kns.x/ingress/0",)


def test_a_host_endpoint_has_untracked_and_normal_policy() -> None:
    where = world(
        """
        apiVersion: projectcalico.org/v3
        kind: HostEndpoint
        metadata: {name: h, labels: {host: "yes"}}
        spec: {node: n1, interfaceName: eth0, expectedIPs: [172.16.0.1]}
        ---
        apiVersion: projectcalico.org/v3
        kind: GlobalNetworkPolicy
        metadata: {name: quick}
        spec:
          selector: has(host)
          doNotTrack: true
          applyOnForward: true
          types: [Ingress]
          ingress: [{action: Allow, protocol: TCP, destination: {ports: [22]}}]
        """
    )
    assert judge(where, "192.0.2.1", "host/h", port=22) == (True, ("_global/quick/ingress/0",))
    assert judge(where, "192.0.2.1", "host/h", port=23) == (False, ("_profile/none",))
