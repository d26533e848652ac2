from __future__ import annotations

import pytest
from tests.support.manifests import PODS, objects, world

from tsujiban.policy import failsafes
from tsujiban.policy.explain import explain_objects
from tsujiban.policy.failsafes import Failsafe, Failsafes, configured, is_open
from tsujiban.policy.program import Action, Direction
from tsujiban.resources.kinds.calico import FelixConfiguration

HOST = """
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: h}
spec: {node: n1, interfaceName: eth0, expectedIPs: [172.16.0.1]}
"""
FELIX = """
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: NAME}
spec: SPEC
"""


def felix(name: str, spec: str) -> str:
    return FELIX.replace("NAME", name).replace("SPEC", spec)


def configurations(*texts: str) -> list[FelixConfiguration]:
    return [o.object for o in objects(*texts) if isinstance(o.object, FelixConfiguration)]


def test_a_port_is_open_towards_its_network() -> None:
    ports = (Failsafe(6, 22, "192.0.2.0/24"), Failsafe(17, 53))
    assert is_open(ports, 6, 22, "192.0.2.9")
    assert not is_open(ports, 6, 22, "198.51.100.1")
    assert not is_open(ports, 6, 22, "@x/a"), "an address that nobody knows is in no network"
    assert is_open(ports, 17, 53, "fd00::1")


def test_without_a_configuration_the_ports_are_calicos() -> None:
    assert configured([]).of("n1") == Failsafes()


def test_a_nodes_own_configuration_goes_before_the_default_field_by_field() -> None:
    found = configured(
        configurations(
            felix("default", "{failsafeInboundHostPorts: [{port: 22}], failsafeOutboundHostPorts: []}"),
            felix("node.n1", "{failsafeInboundHostPorts: [{protocol: UDP, port: 9, net: 10.0.0.0/8}]}"),
        )
    )
    assert found.of("n1") == Failsafes((Failsafe(17, 9, "10.0.0.0/8"),), ())
    assert found.of("n2") == Failsafes((Failsafe(6, 22),), ())


@pytest.mark.parametrize(("strict", "files"), [(True, ()), (False, (felix("default", "{}"),))])
def test_a_host_endpoint_that_denies_everything_is_still_reached(
    strict: bool, files: tuple[str, ...]
) -> None:
    where = world(HOST, *files, strict=strict)
    host, outside = where.end("host/h"), where.end("192.0.2.1")
    for source, destination, port, rule in (
        (outside, host, 22, failsafes.RULE),
        (outside, host, 23, "_profile/none"),
        (host, outside, 6443, failsafes.RULE),
        (host, outside, 22, "_profile/none"),
    ):
        assert where.evaluate(where.flow(source, destination, port=port)).decided_by == (rule,)


def test_files_alone_say_nothing_of_failsafes() -> None:
    where = world(HOST)
    verdict = where.evaluate(where.flow(where.end("192.0.2.1"), where.end("host/h"), port=22))
    assert verdict.verdict is Action.DENY


def test_pods_have_no_failsafes() -> None:
    where = world(
        """
        apiVersion: projectcalico.org/v3
        kind: GlobalNetworkPolicy
        metadata: {name: p}
        spec: {selector: app == 'a', types: [Ingress]}
        """,
        strict=True,
    )
    verdict = where.evaluate(where.flow(where.end("192.0.2.1"), where.end("x/a"), port=6443))
    assert verdict.verdict is Action.DENY


def test_the_story_says_that_no_policy_was_asked() -> None:
    told = explain_objects(objects(PODS, HOST), "192.0.2.1", "host/h", port=22)
    (layer,) = told.layers
    assert (layer.layer, layer.verdict, layer.rule, layer.tiers) == (
        str(Direction.INGRESS),
        "allow",
        failsafes.RULE,
        (),
    )
    assert "failsafe" in layer.note
