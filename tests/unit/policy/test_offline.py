from __future__ import annotations

import pytest
from tests.support.manifests import PODS, objects, world

from tsujiban.policy.flow import Post
from tsujiban.policy.offline import OfflineWorld, UnknownName
from tsujiban.policy.program import Action

WORKLOADS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: x}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: host}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: back, namespace: x}
spec:
  selector: {matchLabels: {app: b}}
  template: {metadata: {labels: {app: b}}, spec: {containers: [{name: c, image: host}]}}
---
apiVersion: v1
kind: Service
metadata: {name: front, namespace: x}
spec:
  selector: {app: a}
  ports: [{name: http, port: 8080, targetPort: web}, {name: dns, port: 53, protocol: UDP}]
---
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: h}
spec: {node: n1, interfaceName: eth0, expectedIPs: [172.16.0.1]}
---
apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: x}
spec: {hostNetwork: true, nodeName: n1, containers: [{name: c, image: host}]}
---
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 172.16.0.9}]}
"""


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("x/a", [("x/a", "10.0.0.1")]),
        ("a", [("x/a", "10.0.0.1")]),
        ("y/c", [("y/c", "10.0.0.3")]),
        ("host/h", [("host/h", "172.16.0.1")]),
        ("web", [("x/web", "@x/web")]),  # no pod is there: one stands for all
        ("deployment/web", [("x/web", "@x/web")]),
        ("deploy/back", [("x/b", "10.0.0.2")]),  # its pod is there
        ("x/deployment/back", [("x/b", "10.0.0.2")]),
        ("service/front", [("x/a", "10.0.0.1")]),
        ("svc/front", [("x/a", "10.0.0.1")]),
        ("x/agent", [("x/agent", "172.16.0.9")]),  # the host's address
        ("192.0.2.1", [("192.0.2.1", "192.0.2.1")]),
        ("FD00:0::1", [("FD00:0::1", "fd00::1")]),
    ],
)
def test_what_a_name_stands_for(name: str, ends: list[tuple[str, str]]) -> None:
    where = world(WORKLOADS)
    assert [(end.name, end.addresses[0]) for end in where.ends(name, "x")] == ends


def test_a_name_alone_is_looked_for_in_the_namespace_asked() -> None:
    where = world()
    assert where.ends("c", "y")[0].name == "y/c"
    with pytest.raises(UnknownName):
        where.ends("c", "x")


def test_only_what_has_a_program_is_an_endpoint() -> None:
    where = world(WORKLOADS)
    assert where.end("x/a").endpoint == "x/a"
    assert where.end("x/agent").endpoint == ""
    assert where.end("192.0.2.1").endpoint == ""


def test_a_service_says_which_port_leads_where() -> None:
    assert world(WORKLOADS).ends("service/front", "x")[0].ports == ((6, 8080, 80), (17, 53, 53))


@pytest.mark.parametrize(("name", "hint"), [("x/aa", "x/a"), ("x/b1", "x/b"), ("deploymnt/web", "web")])
def test_a_name_that_nothing_has_gets_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UnknownName, match=f"{name}.*did you mean .*{hint}"):
        world(WORKLOADS).end(name)


@pytest.mark.parametrize("name", ["", "a/b/c/d", "x/y/z", "300.0.0.1"])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(UnknownName):
        world().end(name)


DUAL = """
apiVersion: v1
kind: Pod
metadata: {name: d, namespace: x}
spec: {containers: [{name: c, image: host}]}
status: {podIPs: [{ip: 10.0.0.7}, {ip: 'fd00::7'}]}
"""


@pytest.mark.parametrize(
    ("source", "destination", "pair"),
    [
        ("x/d", "fd00::9", ("fd00::7", "fd00::9")),
        ("x/d", "x/a", ("10.0.0.7", "10.0.0.1")),
        ("x/a", "fd00::9", ("10.0.0.1", "fd00::9")),  # none in common: the first of each
    ],
)
def test_a_flow_is_of_one_ip_version(source: str, destination: str, pair: tuple[str, str]) -> None:
    where = world(DUAL)
    flow = where.flow(where.end(source), where.end(destination), port=443)
    assert (flow.source, flow.destination) == pair
    assert flow.port == 443


@pytest.mark.parametrize("strict", [False, True])
def test_strict_is_about_plaintext_alone(strict: bool) -> None:
    where = OfflineWorld(objects(PODS), strict=strict)
    plain = where.flow(where.end("192.0.2.1"), where.end("x/a"), port=80)
    proven = where.flow(where.end("x/b"), where.end("x/a"), port=80)
    assert where.evaluate(plain).verdict is (Action.DENY if strict else Action.ALLOW)
    assert where.evaluate(proven).verdict is Action.ALLOW
    assert where.evaluate(plain, Post.KERNEL).verdict is Action.ALLOW


def test_the_trust_domain_is_the_one_asked_for() -> None:
    where = OfflineWorld(objects(PODS), trust_domain="bank.example")
    assert where.world.identity("10.0.0.2") == "spiffe://bank.example/ns/x/sa/sb"


def test_bare_objects_and_loaded_ones_are_the_same_world() -> None:
    loaded = objects(PODS, WORKLOADS)
    bare = OfflineWorld([one.object for one in loaded])
    assert bare.graph.state() == OfflineWorld(loaded).graph.state()


KUBERNETES = """
apiVersion: v1
kind: Service
metadata: {name: kubernetes, namespace: default}
spec: {clusterIP: 10.96.0.1, ports: [{name: https, port: 443, targetPort: 6443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kubernetes, namespace: default, labels: {kubernetes.io/service-name: kubernetes}}
addressType: IPv4
endpoints: [{addresses: [172.31.255.1]}, {addresses: [172.31.255.2]}]
ports: [{name: https, port: 6443, protocol: TCP}]
"""


@pytest.mark.parametrize("name", ["service/kubernetes", "kubernetes", "default/service/kubernetes"])
def test_a_service_without_a_selector_is_the_addresses_of_its_slices(name: str) -> None:
    found = world(PODS, KUBERNETES).ends(name)
    assert [(end.name, end.endpoint) for end in found] == [("172.31.255.1", ""), ("172.31.255.2", "")]
    assert found[0].ports == ((6, 443, 6443),)
