from __future__ import annotations

from tests.support.manifests import objects, world

from tsujiban.policy import autohosts
from tsujiban.policy.program import Action
from tsujiban.resources.kinds.calico import HostEndpoint

CONFIGURATION = """
apiVersion: projectcalico.org/v3
kind: KubeControllersConfiguration
metadata: {name: default}
spec: {controllers: {node: {hostEndpoint: {autoCreate: STATE}}}}
"""
ENABLED, DISABLED = (CONFIGURATION.replace("STATE", word) for word in ("Enabled", "Disabled"))
NODE = """
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {zone: z}}
status: {addresses: [{type: InternalIP, address: 172.16.0.1}, {type: Hostname, address: n1}]}
"""
POLICY = """
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: p}
spec: {selector: zone == 'z', types: [Ingress], ingress: [{action: Deny, protocol: TCP,
  destination: {ports: [80]}}, {action: Pass}]}
"""
OWN = """
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: n1-auto-hep}
spec: {node: n1, interfaceName: eth0, expectedIPs: [172.16.0.1]}
"""


def made(*texts: str) -> list[HostEndpoint]:
    return autohosts.stand_ins(one.object for one in objects(*texts))


def test_each_node_gets_one_where_the_cluster_is_told_to() -> None:
    (found,) = made(NODE, ENABLED)
    assert found.metadata.name == "n1-auto-hep"
    assert found.metadata.labels == {"zone": "z", "projectcalico.org/created-by": "calico-kube-controllers"}
    assert (found.spec.node, found.spec.interface_name) == ("n1", "*")
    assert found.spec.expected_ips == ("172.16.0.1",)
    assert found.spec.profiles == ("projectcalico-default-allow",)


def test_otherwise_there_is_none() -> None:
    assert made(NODE) == made(NODE, DISABLED) == made(ENABLED) == []


def test_a_users_own_stays() -> None:
    assert made(NODE, ENABLED, OWN) == []


def test_files_are_judged_with_them() -> None:
    where = world(NODE, ENABLED, POLICY)
    for port, action in ((80, Action.DENY), (81, Action.ALLOW)):
        flow = where.flow(where.end("192.0.2.1"), where.end("host/n1-auto-hep"), port=port)
        assert where.evaluate(flow).verdict is action
