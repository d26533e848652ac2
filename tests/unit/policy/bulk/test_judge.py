"""The fast evaluator must say what the definition says; here, feature by feature. The property
tests do the same for random worlds."""

from __future__ import annotations

import itertools

import pytest
from msgspec import structs
from tests.support.manifests import world

from tsujiban.policy.bulk import BulkEvaluator
from tsujiban.policy.evaluate import evaluate
from tsujiban.policy.flow import Flow, Request
from tsujiban.policy.program import Action
from tsujiban.policy.world import World

HEAD = """
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {{name: {name}}}
spec: {{tier: {tier}, order: {order}, selector: {selector}, types: [Ingress, Egress],
  ingress: {ingress}, egress: {egress}}}
"""
TIER = "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: early}\nspec: {order: 1}"
HOST = """
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: h, labels: {app: a}}
spec: {node: n1, interfaceName: eth0, expectedIPs: [172.16.0.1]}
"""
B = "spiffe://cluster.local/ns/x/sa/sb"


def policy(
    ingress: str,
    egress: str = "[{action: Allow}]",
    *,
    name: str = "p",
    tier: str = "default",
    order: int = 1,
    selector: str = "app == 'a'",
) -> str:
    return HEAD.format(name=name, tier=tier, order=order, selector=selector, ingress=ingress, egress=egress)


def mesh(kind: str, spec: str) -> str:
    return (
        f"apiVersion: security.istio.io/v1\nkind: {kind}\nmetadata: {{name: m, namespace: x}}\nspec: {spec}"
    )


WORLDS = {
    "nothing": (),
    "first match wins": (
        policy(
            "[{action: Deny, source: {selector: app == 'b'}, protocol: TCP, destination: {ports: [81]}},"
            " {action: Allow}]"
        ),
    ),
    "named and negated ports": (
        policy(
            "[{action: Allow, protocol: TCP, destination: {ports: [web]}},"
            " {action: Allow, protocol: UDP, destination: {notPorts: [80]}}]"
        ),
    ),
    "networks and their exceptions": (
        policy("[{action: Allow, source: {nets: [10.0.0.0/30], notNets: [10.0.0.3/32]}}, {action: Deny}]"),
    ),
    "negated selectors": (policy("[{action: Allow, source: {notSelector: app == 'b'}}]"),),
    "icmp": (policy("[{action: Allow, protocol: ICMP, icmp: {type: 8}}]"),),
    "log": (policy("[{action: Log, source: {selector: app == 'b'}}, {action: Allow, protocol: TCP}]"),),
    "http": (policy("[{action: Allow, protocol: TCP, http: {methods: [GET], paths: [{prefix: /a}]}}]"),),
    "a tier that passes": (
        TIER,
        policy(
            "[{action: Pass, source: {selector: app == 'b'}}]",
            "[{action: Pass}]",
            name="early.p",
            tier="early",
        ),
        policy("[{action: Allow, protocol: TCP}]"),
    ),
    "a pass out of the last tier": (policy("[{action: Pass, protocol: TCP}]", "[{action: Pass}]"),),
    "a staged policy": (policy("[{action: Deny}]").replace("GlobalN", "StagedGlobalN"),),
    "egress": (
        policy(
            "[{action: Allow}]",
            "[{action: Deny, destination: {selector: app == 'a'}}]",
            selector="app == 'b'",
        ),
    ),
    "a host endpoint": (HOST, policy("[{action: Allow, protocol: TCP, destination: {ports: [80]}}]")),
    "authorization": (mesh("AuthorizationPolicy", "{rules: [{from: [{source: {namespaces: [x]}}]}]}"),),
    "an audit": (
        mesh("AuthorizationPolicy", "{action: AUDIT, rules: [{from: [{source: {namespaces: [x]}}]}]}"),
        mesh("AuthorizationPolicy", "{action: DENY, rules: [{to: [{operation: {ports: ['81']}}]}]}").replace(
            "name: m", "name: n"
        ),
    ),
    "strict but for a port": (
        mesh(
            "PeerAuthentication",
            "{selector: {matchLabels: {app: a}}, mtls: {mode: STRICT},"
            " portLevelMtls: {'81': {mode: DISABLE}}}",
        ),
    ),
    "tokens": (mesh("RequestAuthentication", "{jwtRules: [{issuer: i}]}"),),
}


REQUESTS = (
    Request(path="/a/b"),
    Request(path="/c", claims={"iss": "i"}),
    Request(path="/a%2fb", claims={"iss": "other"}),
)


def flows() -> list[Flow]:
    """Every pair of ends on TCP, UDP and ICMP, plain, proven, forged and with HTTP."""
    addresses = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "192.0.2.1", "172.16.0.1", "fd00::1")
    made = []
    for source, destination in itertools.permutations(addresses, 2):
        for protocol, port in ((6, 80), (6, 81), (17, 80), (17, 81), (132, 80)):
            made.append(Flow(source=source, destination=destination, protocol=protocol, port=port))
        for peer in ("", B, "spiffe://other/ns/x/sa/sb"):
            made.append(Flow(source=source, destination=destination, port=80, peer=peer))
        for request in REQUESTS:
            made.append(Flow(source=source, destination=destination, port=80, http=request))
        made += [
            Flow(source=source, destination=destination, protocol=1, icmp_type=kind, icmp_code=0)
            for kind in (0, 8)
        ]
    return made


@pytest.mark.parametrize("name", WORLDS)
def test_the_answers_are_the_definitions(name: str) -> None:
    where = world(*WORLDS[name])
    judge = BulkEvaluator(where.world)
    for flow in flows():
        assert judge(flow) == evaluate(where.world, flow), flow


@pytest.mark.parametrize("name", sorted(set(WORLDS) - {"nothing", "a staged policy"}))
def test_every_world_has_flows_of_both_verdicts(name: str) -> None:
    """Or comparing says little."""
    judge = BulkEvaluator(world(*WORLDS[name]).world)
    assert {judge(flow).verdict for flow in flows()} == {Action.ALLOW, Action.DENY}


def test_a_workload_reaches_itself() -> None:
    where = world(policy("[{action: Deny}]", "[{action: Deny}]"))
    assert BulkEvaluator(where.world)(Flow(source="10.0.0.1", destination="10.0.0.1")).layers == ()


@pytest.mark.parametrize("table", ["policies", "sets"])
def test_what_is_missing_closes_here_too(table: str) -> None:
    where = world(policy("[{action: Allow, source: {selector: app == 'b'}}]"))
    flow = Flow(source="10.0.0.2", destination="10.0.0.1", port=80)
    assert BulkEvaluator(where.world)(flow).verdict is Action.ALLOW
    state = where.graph.state()
    getattr(state, table).clear()
    found = BulkEvaluator(state)(flow)
    assert found == evaluate(state, flow)
    assert found.verdict is Action.DENY


@pytest.mark.parametrize("early", ["pre_dnat", "do_not_track"])
def test_what_acts_before_tracking_or_translation_is_not_asked_of_workloads(early: str) -> None:
    where = world(
        policy("[{action: Allow}]", name="first"),
        policy("[{action: Deny, protocol: UDP}]", name="second", order=2),
    )
    state = where.graph.state()
    first = state.policies["_global/first"]
    state.policies[first.id] = structs.replace(first, apply_on_forward=True, **{early: True})
    judge = BulkEvaluator(state)
    for flow in flows():
        assert judge(flow) == evaluate(state, flow), flow
    assert judge(Flow(source="10.0.0.2", destination="10.0.0.1", protocol=17)).verdict is Action.DENY


def test_an_address_of_two_identities_is_asked_of_the_definition() -> None:
    where = world(policy("[{action: Allow, source: {selector: app == 'b'}}]"))
    state = where.graph.state()
    for name, found in state.sets.items():
        more = {
            structs.replace(member, identity="spiffe://cluster.local/ns/z/sa/z") for member in found.members
        }
        state.sets[name] = structs.replace(found, members=found.members | more)
    both = World(state)
    for peer in ("", B, "spiffe://cluster.local/ns/z/sa/z", "spiffe://other/ns/x/sa/sb"):
        flow = Flow(source="10.0.0.2", destination="10.0.0.1", port=80, peer=peer)
        assert BulkEvaluator(both)(flow) == evaluate(both, flow)
