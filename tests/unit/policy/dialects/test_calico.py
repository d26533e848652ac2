"""projectcalico.org/v3, as Calico's resource reference has it."""

from __future__ import annotations

import math

import pytest
from tests.support.manifests import judge, objects, world

from tsujiban.policy.definitions import NetworkPolicyForm
from tsujiban.policy.dialects.calico import compile_policy, compile_profile
from tsujiban.policy.dialects.common import NOWHERE
from tsujiban.policy.offline import OfflineWorld
from tsujiban.policy.program import Action, Http, Icmp, PathMatch, PortRange, Rule
from tsujiban.resources.kinds import calico

HEAD = "apiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata: {{name: {name}{place}}}\nspec: {spec}"


def text(kind: str, spec: str, name: str = "p") -> str:
    place = ", namespace: x" if kind in ("NetworkPolicy", "StagedNetworkPolicy") else ""
    return HEAD.format(kind=kind, spec=spec, name=name, place=place)


def form(kind: str, spec: str, name: str = "p") -> NetworkPolicyForm | None:
    found = objects(text(kind, spec, name))[0].object
    assert isinstance(
        found,
        calico.NetworkPolicy
        | calico.StagedNetworkPolicy
        | calico.GlobalNetworkPolicy
        | calico.StagedGlobalNetworkPolicy,
    )
    return compile_policy(found, NOWHERE)


def compiled(kind: str, spec: str, name: str = "p") -> NetworkPolicyForm:
    found = form(kind, spec, name)
    assert found is not None
    return found


def rule(fields: str) -> Rule:
    (found,) = compiled("GlobalNetworkPolicy", f"{{ingress: [{{action: Allow, {fields}}}]}}").program.ingress
    return found


def into_a(fields: str, kind: str = "GlobalNetworkPolicy", more: str = "") -> OfflineWorld:
    spec = f"{{selector: app == 'a', types: [Ingress], ingress: [{{action: Allow, {fields}}}]}}"
    return world(text(kind, spec), *([more] if more else []))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("NetworkPolicy", "x/p"),
        ("GlobalNetworkPolicy", "_global/p"),
        ("StagedNetworkPolicy", "x/staged:p"),
        ("StagedGlobalNetworkPolicy", "_global/staged:p"),
    ],
)
def test_ids_and_places(kind: str, name: str) -> None:
    found = compiled(kind, "{order: 7}")
    assert found.program.id == name
    assert found.program.staged is kind.startswith("Staged")
    assert (found.tier, found.order, found.tie[0]) == ("default", 7, "p")


def test_without_an_order_a_policy_is_last_in_its_tier() -> None:
    found = compiled("GlobalNetworkPolicy", "{tier: first}", "first.p")
    assert (found.tier, found.order) == ("first", math.inf)


@pytest.mark.parametrize("kind", ["StagedNetworkPolicy", "StagedGlobalNetworkPolicy"])
@pytest.mark.parametrize(("action", "counts"), [("Set", True), ("Delete", False), ("Ignore", False)])
def test_a_staged_policy_counts_while_it_is_to_be_set(kind: str, action: str, counts: bool) -> None:
    assert (form(kind, f"{{stagedAction: {action}}}") is not None) is counts


@pytest.mark.parametrize(
    ("spec", "directions"),
    [
        ("{}", {"ingress"}),
        ("{ingress: [{action: Allow}]}", {"ingress"}),
        ("{egress: [{action: Allow}]}", {"egress"}),
        ("{ingress: [{action: Allow}], egress: [{action: Allow}]}", {"ingress", "egress"}),
        ("{types: [Egress]}", {"egress"}),
        ("{types: [Ingress, Egress]}", {"ingress", "egress"}),
    ],
)
def test_types(spec: str, directions: set[str]) -> None:
    assert {str(d) for d in compiled("GlobalNetworkPolicy", spec).directions} == directions


IN_X = {
    "projectcalico.org/namespace": "x",
    "projectcalico.org/serviceaccount": "s",
    "pcns.team": "red",
    "pcsa.rank": "hi",
}


@pytest.mark.parametrize(
    ("kind", "spec", "in_x", "elsewhere"),
    [
        ("NetworkPolicy", "{}", True, False),  # an absent selector is all(), of the namespace
        ("NetworkPolicy", "{selector: has(app)}", False, False),
        ("GlobalNetworkPolicy", "{}", True, True),  # hosts too
        ("GlobalNetworkPolicy", "{selector: all()}", True, True),
        ("GlobalNetworkPolicy", "{namespaceSelector: all()}", True, False),
        ("GlobalNetworkPolicy", "{namespaceSelector: team == 'red'}", True, False),
        ("GlobalNetworkPolicy", "{namespaceSelector: team == 'blue'}", False, False),
        ("GlobalNetworkPolicy", "{serviceAccountSelector: rank == 'hi'}", True, False),
        ("NetworkPolicy", "{serviceAccountSelector: rank == 'lo'}", False, False),
    ],
)
def test_whom_a_policy_selects(kind: str, spec: str, in_x: bool, elsewhere: bool) -> None:
    selector = compiled(kind, spec).selector
    assert selector.matches(IN_X) is in_x
    assert selector.matches({}) is elsewhere


@pytest.mark.parametrize(
    ("spec", "flags"),
    [
        ("{applyOnForward: true}", (True, False, False)),
        ("{preDNAT: true, applyOnForward: true, types: [Ingress]}", (True, True, False)),
        ("{doNotTrack: true, applyOnForward: true}", (True, False, True)),
        ("{}", (False, False, False)),
    ],
)
def test_which_traffic_of_a_host_a_policy_is_about(spec: str, flags: tuple[bool, bool, bool]) -> None:
    program = compiled("GlobalNetworkPolicy", spec).program
    assert (program.apply_on_forward, program.pre_dnat, program.do_not_track) == flags


@pytest.mark.parametrize("action", list(Action))
def test_actions(action: Action) -> None:
    spec = f"{{ingress: [{{action: {action.capitalize()}}}]}}"
    assert compiled("GlobalNetworkPolicy", spec).program.ingress[0].action is action


def test_protocol_clauses() -> None:
    assert rule("protocol: SCTP").protocols == (132,)
    assert rule("protocol: 47").protocols == (47,)
    assert rule("notProtocol: UDP").not_protocols == (17,)
    assert rule("ipVersion: 6").ip_version == 6


@pytest.mark.parametrize(
    ("fields", "icmp"),
    [("{type: 8}", Icmp(type=8)), ("{type: 3, code: 0}", Icmp(type=3, code=0)), ("{type: 0}", Icmp(type=0))],
)
def test_icmp_clauses(fields: str, icmp: Icmp) -> None:
    assert rule(f"protocol: ICMP, icmp: {fields}").icmp == icmp
    assert rule(f"protocol: ICMP, notICMP: {fields}").not_icmp == icmp


def test_ports_are_numbers_ranges_and_names() -> None:
    found = rule("protocol: TCP, destination: {ports: [80, '90:99', web], notPorts: [95]}").dst
    assert found.ports is not None
    assert found.ports.ranges == (PortRange(first=80, last=80), PortRange(first=90, last=99))
    assert len(found.ports.named) == 1
    assert found.not_ports is not None
    assert found.not_ports.ranges == (PortRange(first=95, last=95),)


def test_networks_without_their_host_bits() -> None:
    assert rule("source: {nets: [10.0.0.9/24]}").src.nets == ("10.0.0.0/24",)
    found = rule("source: {notNets: ['FD00::1/128']}").src
    assert found.not_nets == ("fd00::1",)
    assert found.nets is None  # no clause, not an empty one


def test_http_clauses_are_in_normal_form() -> None:
    found = rule(
        "protocol: TCP, http: {methods: [GET, PUT], paths: [{exact: /a//b/./c}, {prefix: /x/}]}"
    ).http
    assert found == Http(methods=("GET", "PUT"), paths=(PathMatch(exact="/a/b/c"), PathMatch(prefix="/x")))


NETS = """
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: office, labels: {app: b}}
spec: {nets: [192.0.2.0/24]}
"""


@pytest.mark.parametrize(
    ("kind", "source", "from_b", "from_c", "from_office"),
    [
        ("NetworkPolicy", "selector: app == 'b'", True, False, False),
        ("GlobalNetworkPolicy", "selector: app == 'b'", True, True, True),
        ("NetworkPolicy", "selector: app == 'b', namespaceSelector: all()", True, True, False),
        ("NetworkPolicy", "selector: app == 'b', namespaceSelector: global()", False, False, True),
        ("NetworkPolicy", "namespaceSelector: team == 'blue'", False, True, False),
        ("NetworkPolicy", "namespaceSelector: projectcalico.org/name == 'y'", False, True, False),
        ("NetworkPolicy", "notSelector: app == 'a'", True, False, False),  # of its namespace
        ("GlobalNetworkPolicy", "notSelector: app == 'a'", True, True, True),
        ("GlobalNetworkPolicy", "notSelector: app == 'b'", False, False, False),
        ("GlobalNetworkPolicy", "selector: app == 'b', notSelector: team == 'x'", True, True, True),
        (
            "GlobalNetworkPolicy",
            "selector: app == 'b', notSelector: projectcalico.org/namespace == 'x'",
            False,
            True,
            True,
        ),
        ("NetworkPolicy", "serviceAccounts: {names: [sb, default]}", True, False, False),
        ("GlobalNetworkPolicy", "serviceAccounts: {names: [sb, default]}", True, True, False),
        ("GlobalNetworkPolicy", "serviceAccounts: {selector: rank == 'hi'}", True, False, False),
        (
            "GlobalNetworkPolicy",
            "serviceAccounts: {names: [default], selector: rank == 'hi'}",
            False,
            False,
            False,
        ),
        ("NetworkPolicy", "nets: [192.0.2.0/24]", False, False, True),
        ("NetworkPolicy", "nets: [192.0.2.0/24], notNets: [192.0.2.0/28]", False, False, False),
        ("NetworkPolicy", "notNets: [192.0.2.0/24]", True, True, False),
        ("GlobalNetworkPolicy", "nets: [10.0.0.0/8], selector: app == 'b'", True, True, False),
    ],
)
def test_sources(kind: str, source: str, from_b: bool, from_c: bool, from_office: bool) -> None:
    account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: sb, namespace: x, labels: {rank: hi}}"
    where = into_a(f"source: {{{source}}}", kind, f"{NETS}\n---\n{account}")
    got = tuple(judge(where, s, "x/a", port=80)[0] for s in ("x/b", "y/c", "192.0.2.9"))
    assert got == (from_b, from_c, from_office)


SERVICE = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: x, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1]}]
ports: [{name: http, port: 80, protocol: TCP}]
"""


@pytest.mark.parametrize("place", ["", ", namespace: x"])
def test_a_service_as_destination_is_its_endpoints_and_their_ports(place: str) -> None:
    destination = f"destination: {{services: {{name: web{place}}}}}"
    spec = f"{{selector: app == 'b', types: [Egress], egress: [{{action: Allow, {destination}}}]}}"
    where = world(text("NetworkPolicy", spec), SERVICE)
    assert judge(where, "x/b", "x/a", port=80)[0]
    assert not judge(where, "x/b", "x/a", port=81)[0]
    assert not judge(where, "x/b", "x/a", protocol=17, port=80)[0]
    assert not judge(where, "x/b", "y/c", port=80)[0]


def test_a_service_as_source_is_its_endpoints_from_any_port() -> None:
    rule = "{action: Allow, source: {services: {name: web}}}"
    spec = f"{{selector: app == 'b', types: [Ingress], ingress: [{rule}]}}"
    where = world(text("NetworkPolicy", spec), SERVICE)
    assert judge(where, "x/a", "x/b", port=81, source_port=40000)[0]
    assert not judge(where, "y/c", "x/b", port=81, source_port=80)[0]


def test_a_service_of_another_namespace_is_another_service() -> None:
    destination = "destination: {services: {name: web, namespace: y}}"
    spec = f"{{selector: app == 'b', types: [Egress], egress: [{{action: Allow, {destination}}}]}}"
    assert not judge(world(text("NetworkPolicy", spec), SERVICE), "x/b", "x/a", port=80)[0]


def test_a_profile_has_rules_labels_and_no_namespace() -> None:
    found = objects(
        text(
            "Profile",
            "{labelsToApply: {zone: z}, ingress: [{action: Allow, source: {selector: app == 'b'}}]}",
        )
    )[0].object
    assert isinstance(found, calico.Profile)
    told = compile_profile(found, NOWHERE)
    assert told.labels == {"zone": "z"}
    assert told.program.id == "_profile/p"
    assert [r.id for r in told.program.ingress] == ["_profile/p/ingress/0"]
    assert [str(definition) for definition in told.sets.values()] == ['app == "b"']
