from __future__ import annotations

import pytest
from msgspec import structs
from tests.support.manifests import judge, world

from tsujiban.policy.evaluate import evaluate
from tsujiban.policy.flow import Flow, Post, Request
from tsujiban.policy.program import Action, Mesh
from tsujiban.policy.world import World

ONLY_B = """
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: only-b, namespace: x}
spec:
  order: 5
  selector: app == 'a'
  types: [Ingress]
  ingress:
  - action: Allow
    protocol: TCP
    source: {selector: app == 'b'}
    destination: {ports: [80]}
    http: {methods: [GET], paths: [{prefix: /api}]}
  - {action: Deny}
"""
GET = Request(method="GET", path="/api/1")
B = "spiffe://cluster.local/ns/x/sa/sb"


def test_nothing_selects_so_profiles_allow() -> None:
    assert judge(world(), "x/b", "x/a", port=80) == (
        True,
        ("_profile/kns.x/egress/0", "_profile/kns.x/ingress/0"),
    )


def test_the_rule_that_matches_has_its_name() -> None:
    assert judge(world(ONLY_B), "x/b", "x/a", port=80, http=GET)[1][-1] == "x/only-b/ingress/0"


@pytest.mark.parametrize(
    "request_",
    [Request(method="PUT", path="/api/1"), Request(path="/apis"), Request(path="/x/..%2fapi"), None],
)
def test_an_http_clause_matches_only_http_that_fits(request_: Request | None) -> None:
    assert judge(world(ONLY_B), "x/b", "x/a", port=80, http=request_) == (False, ("x/only-b/ingress/1",))


def test_the_kernel_sees_the_layer_4_part_of_an_http_rule() -> None:
    where = world(ONLY_B)
    flow = where.flow(where.end("x/b"), where.end("x/a"), port=80)
    assert where.evaluate(flow, Post.KERNEL).verdict is Action.ALLOW
    assert where.evaluate(flow, Post.PROXY).verdict is Action.DENY
    assert where.evaluate(structs.replace(flow, port=81), Post.KERNEL).verdict is Action.DENY


def test_an_http_clause_matches_nothing_where_no_proxy_is() -> None:
    where = world(ONLY_B)
    endpoints = where.world.state.endpoints
    endpoints["x/a"] = structs.replace(endpoints["x/a"], mesh=Mesh.NONE)
    flow = where.flow(where.end("x/b"), where.end("x/a"), port=80, http=GET)
    assert evaluate(where.world, flow).verdict is Action.DENY
    assert evaluate(where.world, flow, Post.KERNEL).verdict is Action.DENY


@pytest.mark.parametrize(
    ("source", "peer", "post"),
    [
        ("10.0.0.3", B, "kernel"),  # a stolen key from the wrong address
        ("10.0.0.2", "spiffe://cluster.local/ns/y/sa/default", "proxy"),  # a forged address without the key
        ("10.0.0.2", "", "proxy"),
        ("10.0.0.2", "spiffe://evil.example/ns/x/sa/sb", "proxy"),
        ("10.0.0.2", "spiffe://cluster.local/ns/x/sa/../sa/sb", "proxy"),
    ],
)
def test_address_and_identity_must_both_be_right(source: str, peer: str, post: str) -> None:
    where = world(ONLY_B)
    flow = Flow(source=source, destination="10.0.0.1", port=80, peer=peer, http=GET)
    verdict = where.evaluate(flow)
    ingress = next(layer for layer in verdict.layers if layer.layer == "ingress")
    assert (ingress.verdict, str(ingress.post)) == (Action.DENY, post)
    assert where.evaluate(structs.replace(flow, source="10.0.0.2", peer=B)).verdict is Action.ALLOW


def test_a_missing_set_opens_nothing_and_a_missing_policy_denies() -> None:
    where = world(ONLY_B)
    flow = where.flow(where.end("x/b"), where.end("x/a"), port=80, http=GET)
    state = where.graph.state()
    state.sets.clear()
    assert evaluate(World(state), flow).verdict is Action.DENY
    state = where.graph.state()
    del state.policies["x/only-b"]
    assert evaluate(state, flow).decided_by == ("_tier/default/ingress/default",)
    state = where.graph.state()
    del state.policies["_profile/kns.x"]
    assert evaluate(state, flow).decided_by == ("_profile/none",)


def test_a_missing_set_of_a_deny_rule_denies() -> None:
    where = world(
        """
        apiVersion: projectcalico.org/v3
        kind: NetworkPolicy
        metadata: {name: not-c, namespace: x}
        spec:
          selector: app == 'a'
          ingress:
          - {action: Deny, source: {selector: app == 'nobody'}}
          - {action: Allow}
        """
    )
    flow = where.flow(where.end("x/b"), where.end("x/a"), port=80)
    assert where.evaluate(flow).verdict is Action.ALLOW
    state = where.graph.state()
    state.sets.clear()
    assert evaluate(state, flow).decided_by == ("x/not-c/ingress/0",)


def test_a_workload_reaches_itself_whatever_policy_says() -> None:
    assert judge(world(ONLY_B), "x/a", "x/a", port=80) == (True, ())


@pytest.mark.parametrize(("strict", "allowed"), [(True, False), (False, True)])
def test_plaintext_is_refused_by_the_running_mesh(strict: bool, allowed: bool) -> None:
    answer = judge(world(strict=strict), "192.0.2.1", "x/a", port=80)
    assert answer == (allowed, ("_profile/kns.x/ingress/0",) if allowed else ("_mesh/strict",))


def test_port_modes_name_the_policy_that_set_them() -> None:
    where = world(
        """
        apiVersion: security.istio.io/v1
        kind: PeerAuthentication
        metadata: {name: pa, namespace: x}
        spec:
          selector: {matchLabels: {app: a}}
          mtls: {mode: PERMISSIVE}
          portLevelMtls: {"81": {mode: STRICT}}
        """
    )
    assert judge(where, "192.0.2.1", "x/a", port=80)[0]
    assert judge(where, "192.0.2.1", "x/a", port=81) == (False, ("x/pa:pa/mtls",))
    assert judge(where, "x/b", "x/a", port=81)[0]


def test_log_goes_on_and_is_told() -> None:
    where = world(
        """
        apiVersion: projectcalico.org/v3
        kind: GlobalNetworkPolicy
        metadata: {name: watch}
        spec:
          selector: app == 'a'
          ingress: [{action: Log}, {action: Allow}]
        """
    )
    verdict = where.evaluate(where.flow(where.end("x/b"), where.end("x/a"), port=80))
    assert verdict.layers[1].logged == ("_global/watch/ingress/0",)
    assert verdict.decided_by[-1] == "_global/watch/ingress/1"


def test_staged_policies_decide_nothing() -> None:
    where = world(
        """
        apiVersion: projectcalico.org/v3
        kind: StagedGlobalNetworkPolicy
        metadata: {name: later}
        spec: {selector: all(), types: [Ingress], ingress: [{action: Deny}]}
        """
    )
    assert judge(where, "x/b", "x/a", port=80)[0]
    assert where.world.endpoints["x/a"].ingress[0].policies == ("_global/staged:later",)
