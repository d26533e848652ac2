"""The symbolic answer is the definition's, point by point, in random worlds of all dialects."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from tests.support.judged import flow_in, judged, loaded
from tests.support.worlds import CIDRS, LABELS, Json, WorldMaker, pod_names, worlds

from tsujiban.policy.addresses import version
from tsujiban.policy.diff import compare
from tsujiban.policy.flow import Flow
from tsujiban.policy.offline import OfflineWorld
from tsujiban.policy.program import Action
from tsujiban.policy.symbolic.analysis import Analysis
from tsujiban.policy.symbolic.inhabitants import spots_of


class Rich(WorldMaker):
    """Worlds with the clauses that the plain ones lack: ICMP types, source ports, host endpoints,
    server names, tokens with audiences and lists, every `not` twin."""

    def places(self) -> list[Json]:
        made = super().places()
        for name, node, address in (("edge", "n1", "172.16.0.1"), ("rim", "n2", "172.16.0.2")):
            if self.chance(0.4):
                interface = self.random.choice(("eth0", "*"))
                made.append(
                    self.object(
                        "projectcalico.org/v3",
                        "HostEndpoint",
                        name,
                        labels=self.labels(LABELS),
                        spec={"node": node, "interfaceName": interface, "expectedIPs": [address]},
                    )
                )
        if self.chance(0.4):
            made.append(self.felix())
        return made

    def felix(self) -> Json:
        """Failsafe ports of host endpoints, among the ports that flows have."""

        def port() -> Json:
            found: Json = {
                "protocol": self.random.choice(("TCP", "UDP")),
                "port": self.random.choice((80, 443)),
            }
            return found | ({"net": self.random.choice(CIDRS[:5])} if self.chance(0.5) else {})

        return self.object(
            "projectcalico.org/v3",
            "FelixConfiguration",
            self.random.choice(("default", "node.n1")),
            spec={
                self.random.choice(("failsafeInboundHostPorts", "failsafeOutboundHostPorts")): [
                    port(),
                    port(),
                ]
            },
        )

    def calico_spec(self) -> Json:
        spec = super().calico_spec()
        if self.chance(0.3):
            spec["types"] = ["Ingress"]
            spec.pop("egress", None)
        return spec

    def calico_global(self, index: int) -> Json:
        made = super().calico_global(index)
        if made["spec"]["types"] == ["Ingress"] and self.chance(0.3):
            made["spec"] |= {"preDNAT": True, "applyOnForward": True}
            made["spec"].pop("namespaceSelector", None)
            for rule in made["spec"].get("ingress", ()):
                rule.pop("http", None)
        elif self.chance(0.4):
            made["spec"]["applyOnForward"] = True
        return made

    def calico_rule(self, direction: str) -> Json:
        rule = super().calico_rule(direction)
        if "protocol" not in rule and "notProtocol" not in rule and self.chance(0.4):
            rule["protocol"] = self.random.choice(("ICMP", 47))
            if rule["protocol"] == "ICMP":
                rule[self.random.choice(("icmp", "notICMP"))] = self.random.choice(
                    ({"type": 8}, {"type": 8, "code": 0}, {"type": 0})
                )
        elif rule.get("protocol") in ("TCP", "UDP") and self.chance(0.3):
            side = rule.setdefault("source", {})
            side[self.random.choice(("ports", "notPorts"))] = [self.random.choice((1000, "1000:2000"))]
        if self.chance(0.1):
            rule["ipVersion"] = self.random.choice((4, 6))
        return rule

    def authorization_rule(self) -> Json:
        rule = super().authorization_rule()
        if self.chance(0.5):
            word = self.random.choice(("values", "notValues"))
            key, values = self.random.choice(
                (
                    ("connection.sni", ["a.example", "*.example"]),
                    ("request.auth.audiences", ["one", "two"]),
                    ("request.auth.claims[groups]", ["ops", "dev*"]),
                    ("request.auth.claims[a][b]", ["x"]),
                    ("request.auth.principal", ["https://issuer.example/m*"]),
                    ("request.headers[x-team]", ["*", "red*"]),
                    ("request.headers[:method]", ["GET", "P*"]),
                    ("request.headers[:authority]", ["Web.example", "*"]),
                    ("source.principal", ["*/sa/s1"]),
                    ("request.auth.claims[scope]", ["read", "write all"]),
                    ("source.trustDomain", ["cluster.*"]),
                    ("source.serviceAccount", ["s1"]),
                    ("destination.port", ["8*"]),
                    ("destination.ip", ["10.1.0.0/16"]),
                    ("remote.ip", ["10.0.0.0/8"]),
                )
            )
            rule.setdefault("when", []).append({"key": key, word: self.some(tuple(values))})
        return rule

    def operation(self) -> Json:
        if self.chance(0.5):
            return super().operation()
        return dict(
            self.random.choice(
                (
                    {"paths": ["*/b"], "notPaths": ["/a/b"]},
                    {"paths": ["/a/{*}", "/{**}/d"]},
                    {"methods": ["P*"], "notHosts": ["web.x"]},
                    {"notPorts": ["443"], "notPaths": ["/a*"]},
                    {"hosts": ["*"], "methods": ["GET"]},
                )
            )
        )

    def request_authentication(self, index: int) -> Json:
        made = super().request_authentication(index)
        if self.chance(0.5):
            made["spec"]["jwtRules"][0]["audiences"] = ["one"]
        if self.chance(0.2):
            made["spec"]["jwtRules"][0]["presence"] = "REQUIRED"
        if self.chance(0.2):
            made["spec"]["jwtRules"].append({"jwksUri": "https://any.example/keys"})
        return made

    def flow(self, names: list[str]) -> Json:
        flow = super().flow([*names, "172.16.0.1"])
        if "icmpCode" in flow:
            flow["icmpCode"] = self.random.choice((0, 1))
        if self.chance(0.1) and "port" in flow:
            flow = {"src": flow["src"], "dst": flow["dst"], "protocol": self.random.choice((47, 50))}
        if flow["protocol"] in ("TCP", "UDP"):
            flow["sourcePort"] = self.random.choice((999, 1000, 1500, 2001))
        if flow["protocol"] == "TCP" and self.chance(0.4):
            flow["sni"] = self.random.choice(("a.example", "b.example", "other"))
        if "method" in flow and self.chance(0.6):
            claims: Json = {
                "iss": self.random.choice(("https://issuer.example", "https://else.example")),
                "sub": self.random.choice(("me", "you")),
                "aud": self.random.choice(("one", ["one", "two"], [], "three")),
                "scope": self.random.choice(("read", "read write", ["write all"], "other")),
                "groups": self.random.choice(("ops", ["ops", "devs"], ["x"], [])),
            }
            if self.chance(0.5):
                claims["a"] = self.random.choice(({"b": "x"}, "x", {"b": ["y", "x"]}))
            flow["claims"] = claims
        return flow


def honest_flow(maker: WorldMaker, world: OfflineWorld, names: list[str]) -> Flow:
    """A flow whose source presents its own identity: what connectivity is about."""
    return flow_in(world, {**maker.flow(names), "principal": None})


def possible(flow: Flow) -> bool:
    """Whether such a flow exists, and has an end inside."""
    here, there = version(flow.source), version(flow.destination)
    return here == there or not here or not there


class Compared(NamedTuple):
    points: int
    allowed: int


def check_world(maker: WorldMaker, flows: int) -> Compared:
    raws = maker.objects()
    world = OfflineWorld(loaded(raws), strict=maker.chance(0.5))
    analysis = Analysis(world.world, spots_of(world))
    names, points, allowed = pod_names(raws), 0, 0
    for _ in range(flows):
        flow = honest_flow(maker, world, names)
        verdict = world.evaluate(flow)
        if not possible(flow) or not (verdict.layers or flow.source_endpoint):
            continue
        assert analysis.allows(flow) == (verdict.verdict is Action.ALLOW), flow
        points += 1
        allowed += verdict.verdict is Action.ALLOW
    return Compared(points, allowed)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(worlds())
def test_points_of_random_worlds(maker: WorldMaker) -> None:
    check_world(maker, flows=12)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("made", [WorldMaker, Rich])
def test_many_worlds(made: type[WorldMaker]) -> None:
    worlds_judged = judged(120)
    compared = [check_world(made(Random(seed)), flows=60) for seed in range(worlds_judged)]
    points, allowed = (sum(numbers) for numbers in zip(*compared, strict=True))
    print(f"{made.__name__}: {worlds_judged} worlds, {points} points compared, {allowed} allowed")
    assert 0.2 < allowed / points < 0.8, "both answers are tried"


def changed(maker: WorldMaker, raws: list[Json]) -> list[Json]:
    """The same places with other policies, some of them the same."""
    places = [raw for raw in raws if raw["kind"] in ("Node", "Namespace", "Pod", "ServiceAccount")]
    rest = [raw for raw in raws if raw not in places]
    kept = [raw for raw in rest if maker.chance(0.8)]
    taken = {(raw["kind"], raw["metadata"].get("namespace"), raw["metadata"]["name"]) for raw in kept}
    other = [
        raw
        for raw in maker.policies()
        if maker.chance(0.3)
        and (raw["kind"], raw["metadata"].get("namespace"), raw["metadata"]["name"]) not in taken
        and raw["kind"] != "Tier"
    ]
    return [*places, *kept, *other]


def check_pair(maker: WorldMaker, flows: int) -> tuple[int, int]:
    """Compares two worlds; how many pairs were reported, and how many flows differed."""
    old_raws = maker.objects()
    new_raws = changed(maker, old_raws)
    old, new = loaded(old_raws), loaded(new_raws)
    told = compare(old, new)
    assert not compare(old, list(reversed(old)))
    reported = {(s, d) for change in told.changes for s in change.sources for d in change.destinations}
    mirrored = compare(new, old)
    back = {(s, d) for change in mirrored.changes for s in change.sources for d in change.destinations}
    # networks outside are named in the words of the newer world, where other addresses may be endpoints
    assert set(map(_with_outside, reported)) == set(map(_with_outside, back))
    names, differing = pod_names(old_raws), 0
    before, after = OfflineWorld(old), OfflineWorld(new)
    inside = set(names)
    for _ in range(flows):
        flow = honest_flow(maker, before, names)
        if not possible(flow) or {flow.source_endpoint, flow.destination_endpoint} - inside:
            continue  # pairs of two workloads are reported by name
        if flow.source_endpoint == flow.destination_endpoint:
            continue
        if before.evaluate(flow).verdict is not after.evaluate(flow).verdict:
            differing += 1
            ends = flow.source_endpoint, flow.destination_endpoint
            assert any(_is(s, ends[0]) and _is(d, ends[1]) for s, d in reported), (flow, reported)
    for change in told.changes:
        assert change.old_rules or change.new_rules
        assert (change.before, change.after) != ("", "")
        assert bool(change.gained or change.lost)
    return len(reported), differing


def _with_outside(pair: tuple[str, str]) -> tuple[str, ...]:
    return tuple("outside" if name[0].isdigit() or name.startswith("::") else name for name in pair)


def _is(name: str, endpoint: str) -> bool:
    return name == endpoint or name.startswith(f"{endpoint} (")


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(worlds())
def test_differences_of_random_worlds(maker: WorldMaker) -> None:
    check_pair(maker, flows=20)


@pytest.mark.timeout(7200)
def test_many_differences() -> None:
    makers = [made(Random(seed)) for seed in range(judged(20, part=20)) for made in (WorldMaker, Rich)]
    found = [check_pair(maker, flows=60) for maker in makers]
    assert sum(reported for reported, _ in found)
    assert sum(differing for _, differing in found)
