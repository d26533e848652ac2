"""policy.networking.k8s.io, as the reference of sigs.k8s.io/network-policy-api has it."""

from __future__ import annotations

import pytest
from tests.support.manifests import judge, objects, world

from tsujiban.policy.definitions import NetworkPolicyForm
from tsujiban.policy.dialects.cluster import compile_policy
from tsujiban.policy.dialects.common import NOWHERE
from tsujiban.policy.program import Action, Direction
from tsujiban.resources.kinds import cnp

CLUSTER = (
    "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: p}\nspec:"
)
ADMIN = "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: p}\nspec:"
BASELINE = (
    "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: BaselineAdminNetworkPolicy\n"
    "metadata: {name: default}\nspec:"
)
RULE = "ingress: [{action: Deny, from: [{namespaces: {}}]}]"


def compiled(text: str) -> NetworkPolicyForm:
    found = objects(text)[0].object
    assert isinstance(
        found, cnp.ClusterNetworkPolicy | cnp.AdminNetworkPolicy | cnp.BaselineAdminNetworkPolicy
    )
    return compile_policy(found, NOWHERE)


@pytest.mark.parametrize(
    ("text", "name", "tier", "order"),
    [
        (
            f"{CLUSTER} {{tier: Admin, priority: 7, subject: {{namespaces: {{}}}}, {RULE}}}",
            "cnp:p",
            "kube-admin",
            7,
        ),
        (
            f"{CLUSTER} {{tier: Baseline, priority: 0, subject: {{namespaces: {{}}}}, {RULE}}}",
            "cnp:p",
            "kube-baseline",
            0,
        ),
        (f"{ADMIN} {{priority: 9, subject: {{namespaces: {{}}}}, {RULE}}}", "anp:p", "kube-admin", 9),
        (f"{BASELINE} {{subject: {{namespaces: {{}}}}, {RULE}}}", "banp:default", "kube-baseline", 0),
    ],
)
def test_tiers_and_priorities(text: str, name: str, tier: str, order: float) -> None:
    found = compiled(text)
    assert (found.program.id, found.tier, found.order) == (f"_global/{name}", tier, order)


def test_a_direction_without_rules_is_not_touched() -> None:
    """There is no implicit deny: no rule matches, and what comes after decides."""
    found = compiled(f"{CLUSTER} {{tier: Admin, priority: 1, subject: {{namespaces: {{}}}}, {RULE}}}")
    assert found.directions == (Direction.INGRESS,)


@pytest.mark.parametrize(
    ("head", "word", "action"),
    [
        (CLUSTER + " {tier: Admin, priority: 1,", "Accept", Action.ALLOW),
        (CLUSTER + " {tier: Admin, priority: 1,", "Deny", Action.DENY),
        (CLUSTER + " {tier: Admin, priority: 1,", "Pass", Action.PASS),
        (ADMIN + " {priority: 1,", "Allow", Action.ALLOW),
        (ADMIN + " {priority: 1,", "Pass", Action.PASS),
    ],
)
def test_actions(head: str, word: str, action: Action) -> None:
    found = compiled(f"{head} subject: {{namespaces: {{}}}}, {RULE.replace('Deny', word)}}}")
    assert [rule.action for rule in found.program.ingress] == [action]


RED = {
    "projectcalico.org/orchestrator": "k8s",
    "projectcalico.org/namespace": "x",
    "pcns.team": "red",
    "app": "a",
}


@pytest.mark.parametrize(
    ("subject", "selected"),
    [
        ("{namespaces: {}}", True),
        ("{namespaces: {matchLabels: {team: red}}}", True),
        ("{namespaces: {matchLabels: {app: a}}}", False),
        ("{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: a}}}}", True),
        ("{pods: {namespaceSelector: {matchLabels: {team: blue}}, podSelector: {}}}", False),
        ("{pods: {namespaceSelector: {}, podSelector: {matchLabels: {team: red}}}}", False),
    ],
)
def test_the_subject_is_pods_never_hosts(subject: str, selected: bool) -> None:
    found = compiled(f"{CLUSTER} {{tier: Admin, priority: 1, subject: {subject}, {RULE}}}")
    assert found.selector.matches(RED) is selected
    assert not found.selector.matches({"app": "a", "team": "red"})


WHOLE = "{destinationPort: {range: {start: 1, end: 65535}}}"


def denied(protocols: str, kind: str = "cluster") -> set[tuple[int, int]]:
    """(protocol, port) that a policy denies into x/a."""
    head = CLUSTER + " {tier: Admin, priority: 1," if kind == "cluster" else ADMIN + " {priority: 1,"
    rule = f"{{action: Deny, from: [{{namespaces: {{}}}}], {protocols}}}"
    where = world(f"{head} subject: {{namespaces: {{}}}}, ingress: [{rule}]}}")
    tried = ((6, 80), (6, 90), (17, 80), (17, 90), (132, 80))
    return {(pr, po) for pr, po in tried if not judge(where, "x/b", "x/a", protocol=pr, port=po)[0]}


@pytest.mark.parametrize(
    ("protocols", "expected"),
    [
        ("protocols: [{tcp: {destinationPort: {number: 80}}}]", {(6, 80)}),
        (f"protocols: [{{tcp: {WHOLE}}}]", {(6, 80), (6, 90)}),
        ("protocols: [{udp: {destinationPort: {range: {start: 81, end: 90}}}}]", {(17, 90)}),
        (
            f"protocols: [{{sctp: {WHOLE}}}, {{udp: {{destinationPort: {{number: 90}}}}}}]",
            {(132, 80), (17, 90)},
        ),
        (f"protocols: [{{tcp: {{destinationPort: {{number: 90}}}}}}, {{tcp: {WHOLE}}}]", {(6, 80), (6, 90)}),
        ("protocols: [{destinationNamedPort: web}]", {(6, 80)}),
        ("protocols: [{destinationNamedPort: nobodys}]", set()),
    ],
)
def test_protocols_of_a_cluster_policy(protocols: str, expected: set[tuple[int, int]]) -> None:
    assert denied(protocols) == expected


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ("ports: [{portNumber: {protocol: UDP, port: 80}}]", {(17, 80)}),
        ("ports: [{portNumber: {protocol: TCP, port: 80}}]", {(6, 80)}),
        ("ports: [{portRange: {protocol: TCP, start: 80, end: 90}}]", {(6, 80), (6, 90)}),
        ("ports: [{namedPort: web}, {portNumber: {protocol: SCTP, port: 80}}]", {(6, 80), (132, 80)}),
    ],
)
def test_ports_of_an_admin_policy(ports: str, expected: set[tuple[int, int]]) -> None:
    assert denied(ports, "admin") == expected


NODE = """
apiVersion: v1
kind: Node
metadata: {name: n, labels: {zone: z}}
status: {addresses: [{type: InternalIP, address: 172.16.0.1}]}
"""


@pytest.mark.parametrize(
    ("peers", "to_a", "to_outside", "to_node"),
    [
        ("[{networks: [192.0.2.0/24]}]", True, False, True),
        ("[{networks: [0.0.0.0/0]}]", False, False, False),
        ("[{networks: ['::/0']}]", True, True, True),
        ("[{nodes: {matchLabels: {zone: z}}}]", True, True, False),
        ("[{nodes: {matchLabels: {zone: other}}}]", True, True, True),
        ("[{namespaces: {matchLabels: {team: red}}}, {networks: [192.0.2.1/32]}]", False, False, True),
        ("[{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: b}}}}]", True, True, True),
    ],
)
def test_egress_peers(peers: str, to_a: bool, to_outside: bool, to_node: bool) -> None:
    where = world(
        f"{CLUSTER} {{tier: Admin, priority: 1, subject: {{namespaces: {{}}}}, "
        f"egress: [{{action: Deny, to: {peers}}}]}}",
        NODE,
    )
    got = tuple(judge(where, "x/b", there, port=80)[0] for there in ("x/a", "192.0.2.1", "172.16.0.1"))
    assert got == (to_a, to_outside, to_node)


def test_the_lower_priority_goes_first() -> None:
    one = f"{CLUSTER} {{tier: Admin, priority: 2, subject: {{namespaces: {{}}}}, {RULE}}}"
    other = one.replace("Deny", "Accept").replace("name: p", "name: q").replace("priority: 2", "priority: 1")
    assert judge(world(one, other), "x/b", "x/a", port=80)[1][-1] == "_global/cnp:q/ingress/0"
