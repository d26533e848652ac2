from __future__ import annotations

import msgspec
import pytest
from tests.support.manifests import PODS, objects

from tsujiban.policy.graph import Change, PolicyGraph, key_of
from tsujiban.policy.journal import Journal
from tsujiban.policy.program import Mesh, NodeState
from tsujiban.resources import names
from tsujiban.resources.kinds.meta import Object

POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: np, namespace: x}
spec:
  podSelector: {matchLabels: {app: a}}
  ingress: [{from: [{podSelector: {matchLabels: {app: b}}}], ports: [{port: web}]}]
"""
CALICO = """
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: p}
spec: {types: [Ingress]}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: x, labels: {{app: {app}}}, uid: {name}}}
spec: {{nodeName: n2, containers: [{{name: c, image: host}}]}}
status: {status}
"""


def changes(*texts: str) -> list[Change]:
    return [(key_of(one.object), one) for one in objects(*texts)]


def one(text: str) -> Object:
    return objects(text)[0].object


def test_an_endpoint_carries_names_that_everybody_derives_alike() -> None:
    graph = PolicyGraph("bank.example")
    graph.apply(changes(PODS))
    endpoint = graph.endpoints["x/a"]
    assert endpoint.interface == names.link_name("ua")
    assert endpoint.mac == names.pod_mac("ua")
    assert endpoint.identity == "spiffe://bank.example/ns/x/sa/sa"
    assert endpoint.addresses == ("10.0.0.1",)
    assert endpoint.named_ports == (("web", 6, 80),)
    assert endpoint.authentication.id == "_mesh/strict"


def test_a_node_gets_only_what_its_endpoints_need() -> None:
    graph = PolicyGraph()
    graph.apply(changes(PODS, POLICY))
    here, there = graph.snapshot("n1", 1), graph.snapshot("n2", 1)
    assert set(here.endpoints) == {"x/a"}
    assert set(here.policies) == {"x/knp:np", "_profile/kns.x"}
    assert len(here.sets) == 2
    assert set(there.policies) == {"_profile/kns.x", "_profile/kns.y"}
    assert not there.sets


def test_a_delta_says_the_difference_alone() -> None:
    graph = PolicyGraph()
    graph.apply(changes(PODS, POLICY))
    graph.snapshot("n1", 1)
    graph.apply(changes(POD.format(name="new", app="b", status="{podIPs: [{ip: 10.0.0.9}]}")))
    delta = graph.delta("n1", 2)
    assert delta is not None
    assert not delta.full
    assert not delta.endpoints
    assert not delta.policies
    (change,) = delta.sets.values()
    assert change is not None
    assert {member.net for member in change.added} == {"10.0.0.9"}
    assert not change.full
    assert not change.removed
    assert graph.delta("n1", 3) is None


def test_a_policy_that_begins_to_act_early_leaves_the_workloads() -> None:
    graph = PolicyGraph()
    early = CALICO.replace("{types", "{preDNAT: true, applyOnForward: true, types")
    for text, wanted in ((CALICO, ["_global/p"]), (early, []), (CALICO, ["_global/p"])):
        graph.apply(changes(PODS, text))
        assert [name for tier in graph.endpoints["x/a"].ingress for name in tier.policies] == wanted


def test_an_unchanged_object_changes_nothing() -> None:
    graph = PolicyGraph()
    graph.apply(changes(PODS, POLICY))
    assert not graph.apply(changes(PODS, POLICY))


@pytest.mark.parametrize("status", ["{phase: Succeeded, podIPs: [{ip: 10.0.0.9}]}", "{phase: Failed}"])
def test_a_finished_pod_is_nobody(status: str) -> None:
    graph = PolicyGraph()
    graph.apply(changes(POD.format(name="done", app="b", status=status)))
    assert graph.endpoints == {}
    assert graph.peers == {}


def test_a_pod_without_an_address_has_a_program_and_is_in_no_set() -> None:
    graph = PolicyGraph()
    graph.apply(changes(POLICY, POD.format(name="soon", app="b", status="{phase: Pending}")))
    assert graph.endpoints["x/soon"].addresses == ()
    assert all(not state.counts for state in graph.sets.values())


def test_an_address_that_is_none_makes_nobody_a_member() -> None:
    graph = PolicyGraph()
    pod = one(POD.format(name="odd", app="b", status="{podIPs: [{ip: 10.0.0.9}]}"))
    odd = msgspec.convert(
        {**msgspec.to_builtins(pod), "status": {"podIPs": [{"ip": "not-an-address"}]}}, type(pod)
    )
    graph.apply([*changes(POLICY), (key_of(odd), odd)])
    assert graph.endpoints["x/odd"].addresses == ()


def test_forged_inherited_labels_are_dropped() -> None:
    graph = PolicyGraph()
    graph.apply(
        changes(
            """
            apiVersion: v1
            kind: Pod
            metadata:
              name: p
              namespace: x
              labels: {pcns.team: red, pcsa.rank: hi, projectcalico.org/namespace: y, app: a}
            spec: {containers: [{name: c, image: host}]}
            """
        )
    )
    labels = graph.labels("x/p")
    assert labels["projectcalico.org/namespace"] == "x"
    assert "pcns.team" not in labels
    assert "pcsa.rank" not in labels
    assert labels["app"] == "a"


@pytest.mark.parametrize(
    ("pod", "namespace", "mesh"),
    [("", "", Mesh.SIDECAR), ("", "none", Mesh.NONE), ("node", "none", Mesh.NODE)],
)
def test_the_pods_label_goes_before_its_namespaces(pod: str, namespace: str, mesh: Mesh) -> None:
    def labels(word: str) -> str:
        return f"{{tsujiban.io/mesh: {word}}}" if word else "{}"

    graph = PolicyGraph()
    graph.apply(
        changes(
            f"""
            apiVersion: v1
            kind: Namespace
            metadata: {{name: x, labels: {labels(namespace)}}}
            ---
            apiVersion: v1
            kind: Pod
            metadata: {{name: p, namespace: x, labels: {labels(pod)}}}
            spec: {{containers: [{{name: c, image: host}}]}}
            status: {{podIPs: [{{ip: 10.0.0.1}}]}}
            """
        )
    )
    assert graph.endpoints["x/p"].mesh is mesh
    assert bool(graph.peers["10.0.0.1"].identity) == (mesh is not Mesh.NONE)


def test_a_node_that_fell_behind_gets_everything() -> None:
    graph = PolicyGraph()
    graph.journal = Journal(limit=4)
    graph.apply(changes(PODS))
    graph.snapshot("n2", 1)
    for number in range(8):
        graph.apply(
            changes(POD.format(name=f"p{number}", app="b", status=f"{{podIPs: [{{ip: 10.0.1.{number}}}]}}"))
        )
    delta = graph.delta("n2", 2)
    assert delta is not None
    assert delta.full
    state = NodeState()
    state.apply(delta)
    assert len(state.endpoints) == 10


def test_one_refused_object_does_not_keep_the_others_out() -> None:
    graph = PolicyGraph()
    bad = one(
        """
        apiVersion: projectcalico.org/v3
        kind: GlobalNetworkPolicy
        metadata: {name: good}
        spec: {selector: all()}
        """
    )
    bad = msgspec.convert({**msgspec.to_builtins(bad), "spec": {"selector": "app =="}}, type(bad))
    with pytest.raises(ValueError, match="GlobalNetworkPolicy"):
        graph.apply([(key_of(bad), bad), *changes(PODS)])
    assert set(graph.endpoints) == {"x/a", "x/b", "y/c"}


def test_services_lead_to_ready_endpoints() -> None:
    graph = PolicyGraph()
    graph.apply(
        changes(
            """
            apiVersion: v1
            kind: Service
            metadata: {name: web, namespace: x}
            spec: {clusterIP: 10.96.0.9, ports: [{name: http, port: 80}]}
            ---
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata: {name: web-1, namespace: x, labels: {kubernetes.io/service-name: web}}
            addressType: IPv4
            endpoints:
            - {addresses: [10.0.0.1], conditions: {ready: true}}
            - {addresses: [10.0.0.2], conditions: {ready: false}}
            ports: [{name: http, port: 8080, protocol: TCP}]
            """
        )
    )
    service = graph.services["x/web"]
    assert service.addresses == ("10.96.0.9",)
    assert [(b.address, b.port) for b in service.ports[0].backends] == [("10.0.0.1", 8080)]
    assert service.endpoint_addresses == ("10.0.0.1",)


SELECTING = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: selecting, namespace: x}
spec: {podSelector: {matchLabels: {app: a}}}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: everything}
spec: {selector: all()}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: selecting, namespace: x}
spec: {selector: {matchLabels: {app: a}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: selecting, namespace: x}
spec: {selector: {matchLabels: {app: a}}}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: selecting, namespace: x}
spec: {selector: {matchLabels: {app: a}}}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: no-endpoint, labels: {app: a}}
spec: {nets: [192.0.2.0/24]}
"""


def test_every_policy_knows_how_many_endpoints_it_selects() -> None:
    graph = PolicyGraph()
    keys = [key for key, _ in changes(SELECTING)]
    graph.apply(changes(PODS, SELECTING))
    everything = len(graph.endpoints)
    assert [graph.selected(key) for key in keys] == [1, everything, 1, 1, 1, 0]
    running = "{phase: Running, podIP: 10.0.0.9, podIPs: [{ip: 10.0.0.9}]}"
    graph.apply(changes(POD.format(name="more", app="a", status=running)))
    assert [graph.selected(key) for key in keys] == [2, everything + 1, 2, 2, 2, 0]
    graph.apply([(("Pod", "x", "more"), None)])
    assert [graph.selected(key) for key in keys] == [1, everything, 1, 1, 1, 0]
    graph.apply([(key, None) for key in keys])
    assert [graph.selected(key) for key in keys] == [0] * 6
