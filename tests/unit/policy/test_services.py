from __future__ import annotations

import pytest
from tests.support.manifests import objects

from tsujiban.policy import services
from tsujiban.policy.program import Backend, Member, ServiceMember
from tsujiban.resources.kinds.core import EndpointSlice, Service

SERVICE = """
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: x}}
spec: {spec}
"""
SLICE = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: web-1, namespace: x, labels: {{kubernetes.io/service-name: web}}}}
addressType: {kind}
endpoints: {endpoints}
ports: {ports}
"""
HTTP = "[{name: http, port: 8080, protocol: TCP}]"
ENDPOINTS = """[
  {addresses: [10.0.0.1], conditions: {ready: true}},
  {addresses: [10.0.0.2], conditions: {ready: false}},
  {addresses: [10.0.0.3], conditions: {}},
  {addresses: [10.0.0.4]}]"""


def service(spec: str) -> Service:
    found = objects(SERVICE.format(spec=spec))[0].object
    assert isinstance(found, Service)
    return found


def slices(endpoints: str = ENDPOINTS, ports: str = HTTP, kind: str = "IPv4") -> list[EndpointSlice]:
    found = objects(SLICE.format(endpoints=endpoints, ports=ports, kind=kind))[0].object
    assert isinstance(found, EndpointSlice)
    return [found]


def test_traffic_goes_to_what_is_ready_or_does_not_say() -> None:
    """Kubernetes' reference, EndpointConditions: an unset `ready` is to be read as true."""
    program = services.compile_service(
        service("{clusterIP: 10.96.0.9, ports: [{name: http, port: 80}]}"), slices()
    )
    assert program.id == "x/web"
    assert program.addresses == ("10.96.0.9",)
    assert program.endpoint_addresses == ("10.0.0.1", "10.0.0.3", "10.0.0.4")
    (port,) = program.ports
    assert (port.protocol, port.port, port.name) == (6, 80, "http")
    assert port.backends == tuple(Backend(address=f"10.0.0.{n}", port=8080) for n in (1, 3, 4))


def test_who_is_not_ready_can_be_published_on_request() -> None:
    spec = "{clusterIP: None, publishNotReadyAddresses: true, ports: [{name: http, port: 80}]}"
    program = services.compile_service(service(spec), slices())
    assert program.addresses == ()  # headless
    assert len(program.endpoint_addresses) == 4


def test_ports_find_each_other_by_name_and_protocol() -> None:
    ports = "[{name: dns, port: 5353, protocol: UDP}, {name: dns-tcp, port: 5354, protocol: TCP}]"
    spec = (
        "{ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53}, {name: other, port: 9}]}"
    )
    program = services.compile_service(service(spec), slices("[{addresses: [10.0.0.1]}]", ports))
    assert [[b.port for b in p.backends] for p in program.ports] == [[5353], [5354], []]
    assert [p.protocol for p in program.ports] == [17, 6, 6]


def test_all_virtual_addresses_of_both_versions() -> None:
    spec = """{clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9, 'FD00::9'], externalIPs: [192.0.2.1],
      ports: [{port: 1}]}"""
    assert services.compile_service(service(spec), []).addresses == ("10.96.0.9", "fd00::9", "192.0.2.1")


@pytest.mark.parametrize("kind", ["IPv4", "FQDN"])
def test_policy_is_about_who_and_not_about_health(kind: str) -> None:
    """Ready or not; names instead of addresses are nobody."""
    endpoints = ENDPOINTS if kind == "IPv4" else "[{addresses: [db.example]}]"
    found = slices(endpoints, kind=kind)
    wanted = {f"10.0.0.{n}" for n in range(1, 5)} if kind == "IPv4" else set()
    assert services.service_addresses(found) == wanted
    assert services.service_members(found) == {
        ServiceMember(address=address, protocol=6, port=8080) for address in wanted
    }
    assert services.compile_service(service("{ports: [{port: 1}]}"), found).endpoint_addresses == tuple(
        sorted(wanted - {"10.0.0.2"})
    )


@pytest.mark.parametrize(
    ("labels", "owner"), [("{kubernetes.io/service-name: web}", "x/web"), ("{app: web}", "")]
)
def test_a_slice_belongs_to_the_service_that_its_label_names(labels: str, owner: str) -> None:
    text = SLICE.format(kind="IPv4", endpoints="[]", ports="[]")
    found = objects(text.replace("{kubernetes.io/service-name: web}", labels))[0].object
    assert isinstance(found, EndpointSlice)
    assert services.service_of(found) == owner


def test_members_of_services_are_plain() -> None:
    assert services.as_members(["10.0.0.1"]) == {Member(net="10.0.0.1", identity="")}


def test_endpoints_with_a_name_of_their_own_are_told() -> None:
    listed = """[
      {addresses: [10.0.0.1], hostname: work-0, targetRef: {kind: Pod, name: work-0-x7}},
      {addresses: [10.0.0.2], hostname: db-0, targetRef: {kind: Pod, name: db-0}},
      {addresses: [10.0.0.3], hostname: late, conditions: {ready: false}}]"""
    program = services.compile_service(service("{clusterIP: None}"), slices(listed))
    assert program.hostnames == (("10.0.0.1", "work-0"),)
