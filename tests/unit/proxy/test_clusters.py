from __future__ import annotations

from typing import Any

from tsujiban.policy.program import Backend, ServicePort
from tsujiban.proxy import clusters, names
from tsujiban.proxy.resource import Kind, Resource
from tsujiban.proxy.site import SIDECAR, NodeSite


def body(resource: Resource) -> Any:
    return resource.message()


def test_tunnels_go_to_the_original_address_and_port() -> None:
    cluster = body(clusters.mesh(SIDECAR, "mesh|listed|10.0.0.1", "spiffe://t/x"))
    assert cluster.type == cluster.ORIGINAL_DST
    assert not cluster.HasField("original_dst_lb_config")  # no fixed tunnel port
    assert cluster.HasField("transport_socket")


def test_where_nobody_is_there_is_no_endpoint_to_wait_for() -> None:
    cluster = body(clusters.nobody("mesh|asked|10.0.0.1"))
    assert (cluster.type, len(cluster.load_assignment.endpoints)) == (cluster.STATIC, 0)


def test_the_application_and_the_clear_have_no_tls() -> None:
    for cluster in (clusters.app(SIDECAR), clusters.passthrough(SIDECAR)):
        assert not body(cluster).HasField("transport_socket")


def test_a_service_s_endpoints_lead_through_the_inner_listener_to_their_own_address() -> None:
    port = ServicePort(
        protocol=6,
        port=80,
        backends=(Backend(address="fd00::1", port=81), Backend(address="10.0.0.1", port=82)),
    )
    assignment = body(clusters.endpoints(SIDECAR, "service|web", port))
    hosts = [one.endpoint for one in assignment.endpoints[0].lb_endpoints]
    where = [one.address.envoy_internal_address.endpoint_id for one in hosts]
    assert where == ["10.0.0.1:82", "[fd00::1]:81"]
    assert {one.address.envoy_internal_address.server_listener_name for one in hosts} == {
        names.OUTBOUND_INNER
    }
    assert assignment.cluster_name == body(clusters.service(SIDECAR, "service|web")).name


def test_a_service_without_endpoints_has_none() -> None:
    assert (
        len(body(clusters.endpoints(SIDECAR, "service|web", ServicePort(protocol=6, port=80))).endpoints) == 0
    )


def test_an_internal_cluster_leads_to_its_listener() -> None:
    cluster = body(clusters.internal("listener"))
    endpoint = cluster.load_assignment.endpoints[0].lb_endpoints[0].endpoint
    assert endpoint.address.envoy_internal_address.server_listener_name == "listener"


def assigned(*hosts: str) -> Resource:
    backends = tuple(Backend(address=host, port=80) for host in hosts)
    return clusters.endpoints(SIDECAR, "service|web", ServicePort(protocol=6, port=80, backends=backends))


def test_endpoints_that_stay_are_those_of_both() -> None:
    both = clusters.staying(assigned("10.0.0.1", "10.0.0.2"), assigned("10.0.0.2", "10.0.0.3"))
    assert both.version == assigned("10.0.0.2").version
    assert both.name == assigned().name
    assert clusters.staying(assigned("10.0.0.1"), assigned("10.0.0.2")).version == assigned().version


def test_only_services_have_endpoints_of_their_own() -> None:
    found = {
        one.name: one
        for one in (
            clusters.app(SIDECAR),
            clusters.mesh(SIDECAR, "mesh|listed|10.0.0.1", "x"),
            clusters.service(SIDECAR, "service|a/b"),
            clusters.service(NodeSite("/run/netns/p"), "pod:p|service|a/b"),
        )
    }
    assert clusters.service_clusters(found) == {"service|a/b", "pod:p|service|a/b"}
    assert found["service|a/b"].kind is Kind.CLUSTER
