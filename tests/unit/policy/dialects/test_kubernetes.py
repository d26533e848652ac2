"""networking.k8s.io/v1, NetworkPolicySpec, as the Kubernetes API reference has it."""

from __future__ import annotations

import pytest
from tests.support.manifests import judge, objects, world

from tsujiban.policy.definitions import NetworkPolicyForm
from tsujiban.policy.dialects.common import NOWHERE
from tsujiban.policy.dialects.kubernetes import compile_policy
from tsujiban.policy.offline import OfflineWorld
from tsujiban.policy.program import Direction
from tsujiban.resources.kinds.calico import StagedKubernetesNetworkPolicy
from tsujiban.resources.kinds.netpol import NetworkPolicy

HEAD = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: np, namespace: x}\n"
STAGED = (
    "apiVersion: projectcalico.org/v3\nkind: StagedKubernetesNetworkPolicy\n"
    "metadata: {name: np, namespace: x}\n"
)


def form(spec: str, head: str = HEAD) -> NetworkPolicyForm | None:
    found = objects(head + f"spec: {spec}")[0].object
    assert isinstance(found, NetworkPolicy | StagedKubernetesNetworkPolicy)
    return compile_policy(found, NOWHERE)


def compiled(spec: str, head: str = HEAD) -> NetworkPolicyForm:
    found = form(spec, head)
    assert found is not None
    return found


def with_policy(spec: str) -> OfflineWorld:
    return world(HEAD + f"spec: {spec}")


@pytest.mark.parametrize(
    ("spec", "directions"),
    [
        ("{podSelector: {}}", {"ingress"}),  # absent types: always Ingress
        ("{podSelector: {}, ingress: [{}]}", {"ingress"}),
        ("{podSelector: {}, egress: []}", {"ingress"}),  # an empty list is no egress rule
        ("{podSelector: {}, egress: [{}]}", {"ingress", "egress"}),
        ("{podSelector: {}, egress: [{}], policyTypes: [Ingress]}", {"ingress"}),
        ("{podSelector: {}, policyTypes: [Egress]}", {"egress"}),
        ("{podSelector: {}, policyTypes: [Ingress, Egress]}", {"ingress", "egress"}),
    ],
)
def test_policy_types(spec: str, directions: set[str]) -> None:
    assert {str(d) for d in compiled(spec).directions} == directions


def test_its_place_is_order_1000_of_the_default_tier() -> None:
    found = compiled("{podSelector: {}}")
    assert (found.tier, found.order, found.tie) == ("default", 1000, ("np", "x", "KubernetesNetworkPolicy"))
    assert found.program.id == "x/knp:np"


def test_rules_of_one_id_are_one_rule_of_the_users() -> None:
    peers = "[{podSelector: {}}, {ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.1/32]}}]"
    found = compiled(f"{{podSelector: {{}}, ingress: [{{from: {peers}}}, {{}}]}}")
    assert {rule.id for rule in found.program.ingress} == {"x/knp:np/ingress/0", "x/knp:np/ingress/1"}
    assert len([rule for rule in found.program.ingress if rule.id.endswith("/0")]) == 2


@pytest.mark.parametrize(
    ("peer", "from_b", "from_c", "from_outside"),
    [
        ("[]", True, True, True),  # an empty list is an absent one: everywhere
        ("[{podSelector: {}}]", True, False, False),  # the policy's own namespace
        ("[{namespaceSelector: {}}]", True, True, False),  # every namespace, pods only
        ("[{namespaceSelector: {}, podSelector: {matchLabels: {app: zz}}}]", False, False, False),
        (  # both in one peer: and; in two peers: or
            "[{namespaceSelector: {matchLabels: {team: blue}}, podSelector: {matchLabels: {app: a}}}]",
            False,
            False,
            False,
        ),
        (
            "[{namespaceSelector: {matchLabels: {team: blue}}}, {podSelector: {matchLabels: {app: b}}}]",
            True,
            True,
            False,
        ),
        (
            "[{namespaceSelector: {matchExpressions: [{key: team, operator: NotIn, values: [red]}]}}]",
            False,
            True,
            False,
        ),
        (
            "[{namespaceSelector: {matchExpressions: [{key: nope, operator: DoesNotExist}]}}]",
            True,
            True,
            False,
        ),
        (
            "[{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: y}}}]",
            False,
            True,
            False,
        ),
        ("[{ipBlock: {cidr: 0.0.0.0/0}}]", True, True, True),
        ("[{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]", False, False, True),
        ("[{ipBlock: {cidr: '::/0'}}]", False, False, False),
    ],
)
def test_peers(peer: str, from_b: bool, from_c: bool, from_outside: bool) -> None:
    where = with_policy(f"{{podSelector: {{matchLabels: {{app: a}}}}, ingress: [{{from: {peer}}}]}}")
    got = tuple(judge(where, source, "x/a", port=80)[0] for source in ("x/b", "y/c", "192.0.2.1"))
    assert got == (from_b, from_c, from_outside)


@pytest.mark.parametrize(
    ("ports", "open_to"),
    [
        ("[]", {(6, 80), (6, 90), (17, 80)}),  # an empty list is an absent one: all ports
        ("[{port: 80}]", {(6, 80)}),  # an absent protocol is TCP
        ("[{protocol: UDP}]", {(17, 80)}),  # an absent port is every port of the protocol
        ("[{port: 80, protocol: UDP}, {port: 90}]", {(17, 80), (6, 90)}),
        ("[{port: 80, endPort: 90}]", {(6, 80), (6, 90)}),
        ("[{port: 81, endPort: 89}]", set()),
        ("[{port: web}]", {(6, 80)}),
        ("[{port: web, protocol: UDP}]", set()),  # the name is of a TCP port
        ("[{port: nobodys}]", set()),
        ("[{port: nobodys}, {port: 90}]", {(6, 90)}),
    ],
)
def test_ports(ports: str, open_to: set[tuple[int, int]]) -> None:
    where = with_policy(f"{{podSelector: {{matchLabels: {{app: a}}}}, ingress: [{{ports: {ports}}}]}}")
    tried = ((6, 80), (6, 90), (17, 80))
    got = {(pr, po) for pr, po in tried if judge(where, "x/b", "x/a", protocol=pr, port=po)[0]}
    assert got == open_to


def test_a_named_port_of_egress_is_the_destinations() -> None:
    spec = """{{podSelector: {{}}, policyTypes: [Egress],
      egress: [{{to: [{{podSelector: {peer}}}], ports: [{{port: web}}]}}]}}"""
    everybody = with_policy(spec.format(peer="{}"))
    assert judge(everybody, "x/b", "x/a", port=80)[0]
    assert not judge(everybody, "x/b", "x/a", port=81)[0]
    assert not judge(everybody, "x/a", "x/b", port=80)[0]  # b calls no port so
    assert not judge(with_policy(spec.format(peer="{matchLabels: {app: b}}")), "x/b", "x/a", port=80)[0]


def test_an_absent_direction_is_not_touched() -> None:
    where = with_policy("{podSelector: {}, policyTypes: [Egress]}")
    assert not judge(where, "x/b", "x/a", port=80)[0]
    assert judge(where, "y/c", "x/a", port=80)[0]


@pytest.mark.parametrize(
    ("action", "counts"), [("", True), ("Set", True), ("Delete", False), ("Ignore", False)]
)
def test_a_staged_policy_is_counted_while_it_is_to_be_set(action: str, counts: bool) -> None:
    """Calico's reference, "StagedKubernetesNetworkPolicy"; as of its other staged kinds."""
    found = form("{" + (f"stagedAction: {action}, " if action else "") + "podSelector: {}}", STAGED)
    assert (found is not None) is counts
    if found is not None:
        assert found.program.staged
        assert found.program.id == "x/staged-knp:np"
        assert found.directions == (Direction.INGRESS,)
