from __future__ import annotations

import json

import pytest
from tests.support.manifests import world

from tsujiban.policy.bulk import BulkEvaluator
from tsujiban.policy.bulk.asked import parts_of
from tsujiban.policy.bulk.lines import Lines, line_of
from tsujiban.policy.evaluate import evaluate
from tsujiban.policy.flow import Flow, Layer, Post, Request, Verdict
from tsujiban.policy.program import Action

ALLOWED = Layer(layer="egress", endpoint="x/b", verdict=Action.ALLOW, rule='r"\\é', post=Post.KERNEL)
REFUSED = Layer(
    layer="authorization", endpoint="x/a", verdict=Action.DENY, rule="_authz/no-allow", post=Post.PROXY
)
SILENT = Layer(layer="authentication", endpoint="x/a", verdict=Action.ALLOW, rule="", post=Post.PROXY)

POLICIES = (
    """
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: 'a', namespace: x}
spec: {selector: app == 'a', types: [Ingress], ingress: [{action: Log, protocol: UDP},
  {action: Allow, source: {selector: app == 'b'}}]}
""",
    """
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: 'b', namespace: y}
spec: {selector: app == 'b', types: [Egress], egress: [
  {action: Deny, protocol: TCP, destination: {ports: [81]}}, {action: Allow}]}
""",
    """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: 'b', namespace: x}
spec: {selector: {matchLabels: {app: b}}, rules: [{to: [{operation: {methods: [GET]}}]}]}
""",
    """
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: h}
spec: {node: n1, interfaceName: eth0, expectedIPs: [172.16.0.1]}
""",
)


def test_a_verdict_is_one_object_on_one_line() -> None:
    line = line_of(
        Verdict(verdict=Action.DENY, decided_by=("_authz/no-allow",), layers=(ALLOWED, SILENT, REFUSED))
    )
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "verdict": "deny",
        "decidedBy": ["_authz/no-allow"],
        "layers": [
            {"layer": "egress", "endpoint": "x/b", "verdict": "allow", "rule": 'r"\\é', "post": "kernel"},
            {"layer": "authentication", "endpoint": "x/a", "verdict": "allow", "post": "proxy"},
            {
                "layer": "authorization",
                "endpoint": "x/a",
                "verdict": "deny",
                "rule": "_authz/no-allow",
                "post": "proxy",
            },
        ],
    }


def test_a_line_is_the_definitions_verdict() -> None:
    """To the byte, however it was put together: both ends, one end, none, both sides denying."""
    where = world(*POLICIES)
    judge = BulkEvaluator(where.world)
    lines = Lines(judge)
    seen: set[tuple[bool, ...]] = set()
    ends = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "192.0.2.1", "172.16.0.1")
    for source in ends:
        for destination in ends:
            for protocol, port, http in ((6, 80, None), (6, 81, Request()), (17, 81, None)):
                flow = Flow(source=source, destination=destination, protocol=protocol, port=port, http=http)
                expected = evaluate(where.world, flow)
                line = lines.line(
                    judge.party("", source), judge.party("", destination), judge.ask(parts_of(flow), http)
                )
                assert line == line_of(expected), flow
                seen.add(tuple(layer.verdict is Action.DENY for layer in expected.layers))
    every = {(), (True,), (False,), (True, True, False, False), (True, False, False, True), (False,) * 4}
    assert seen >= every


@pytest.mark.parametrize("limit", ["judge.MAX_PARTIES", "judge.MAX_PLANS", "asked.MAX_KNOWN"])
def test_what_is_kept_is_bounded(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"tsujiban.policy.bulk.{limit}", 2)
    where = world(*POLICIES)
    judge = BulkEvaluator(where.world)
    for port in (80, 81, 80):
        for source, destination in (("10.0.0.2", "10.0.0.1"), ("10.0.0.3", "10.0.0.2")):
            for http in (None, Request(path="/a"), Request(path="/b")):
                flow = Flow(source=source, destination=destination, port=port, http=http)
                assert judge(flow) == evaluate(where.world, flow)
