"""Services of files: what stands behind them, and what rules that name them make of it."""

from __future__ import annotations

import pytest
from tests.support.manifests import objects

from tsujiban.policy.backends import selected, stand_ins, target
from tsujiban.policy.offline import OfflineWorld
from tsujiban.policy.program import Action
from tsujiban.resources.kinds import core

SERVICE = """
---
apiVersion: v1
kind: Service
metadata: {name: s, namespace: n}
spec: {selector: {app: a}, ports: [{port: 8080, targetPort: web}]}
"""
POLICY = """
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: p, namespace: m}
spec: {egress: [{action: Allow, destination: {services: {name: s, namespace: n}}}]}
"""
SOURCE_POLICY = """
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: p, namespace: n}
spec: {selector: app == 'b', ingress: [{action: Allow, source: {services: {name: s}}}]}
"""


def pod(name: str, app: str, *, namespace: str = "n", status: str = "{}", port: int = 80) -> str:
    return f"""
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}, labels: {{app: {app}}}}}
spec: {{containers: [{{name: c, image: host, ports: [{{name: web, containerPort: {port}}}]}}]}}
status: {status}
"""


PODS = (
    pod("one", "a", status="{podIP: 10.0.0.1}")
    + pod("two", "a", port=81)
    + pod("other", "b", status="{podIP: 10.0.0.3}")
    + pod("away", "a", namespace="m", status="{podIP: 10.0.0.4}")
)


def allowed(world: OfflineWorld, source: str, destination: str, port: int) -> bool:
    flow = world.flow(world.end(source), world.end(destination), port=port)
    return world.evaluate(flow).verdict is Action.ALLOW


@pytest.mark.parametrize(
    ("destination", "port", "good"),
    [
        ("n/one", 80, True),
        ("n/one", 8080, False),
        ("n/two", 81, True),
        ("n/two", 80, False),
        ("n/other", 80, False),
    ],
)
def test_a_rule_that_names_a_service_is_about_its_pods_and_their_ports(
    destination: str, port: int, good: bool
) -> None:
    world = OfflineWorld(objects(SERVICE + POLICY + PODS))
    assert allowed(world, "m/away", destination, port) is good


def test_as_a_source_a_service_is_its_pods_on_any_port() -> None:
    world = OfflineWorld(objects(SERVICE + SOURCE_POLICY + PODS))
    assert allowed(world, "n/two", "n/other", 1234)
    assert not allowed(world, "m/away", "n/other", 1234)


def test_slices_in_the_files_are_what_counts() -> None:
    slices = """
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s-1, namespace: n, labels: {kubernetes.io/service-name: s}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.3]}]
ports: [{port: 80}]
"""
    world = OfflineWorld(objects(SERVICE + POLICY + PODS + slices))
    assert allowed(world, "m/away", "n/other", 80)
    assert not allowed(world, "m/away", "n/one", 80)


def test_only_services_that_rules_name_are_looked_at() -> None:
    assert list(stand_ins(one.object for one in objects(SERVICE + PODS))) == []


def test_a_finished_pod_and_a_service_without_selector_stand_for_nothing() -> None:
    found = [one.object for one in objects(SERVICE + pod("done", "a", status="{phase: Succeeded}"))]
    service, done = found
    assert isinstance(service, core.Service)
    assert isinstance(done, core.Pod)
    assert list(selected(service, [done])) == []
    assert list(selected(core.Service(spec=core.ServiceSpec()), [done])) == []


def test_a_named_target_is_of_the_same_protocol() -> None:
    (found,) = [one.object for one in objects(pod("one", "a"))]
    assert isinstance(found, core.Pod)
    assert target(core.ServicePort(port=1, target_port="web"), found) == 80
    assert target(core.ServicePort(port=1, target_port="web", protocol="UDP"), found) is None
    assert target(core.ServicePort(port=1), found) == 1
