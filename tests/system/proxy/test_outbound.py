"""Where a client's proxy goes, and where it refuses to go."""

from __future__ import annotations

import json
import socket
import subprocess
from contextlib import suppress
from functools import partial

import pytest
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.network.echo.v3 import echo_pb2
from google.protobuf import json_format
from msgspec.structs import replace
from tests.support.meshapps import Greeter, echo_http, first, reads, rest
from tests.support.proxybed import POD_CIDR, Bed, tier, until
from tests.support.wait import PATIENCE

from tsujiban.policy.program import (
    Action,
    Authentication,
    Backend,
    Mesh,
    MtlsMode,
    PolicyProgram,
    PortRange,
    Ports,
    Rule,
    ServicePort,
    ServiceProgram,
    Side,
)
from tsujiban.proxy import binary, filters, names, rbac
from tsujiban.proxy.encode import fill
from tsujiban.proxy.matchers import typed
from tsujiban.proxy.reach import egress
from tsujiban.supervise import netns

pytestmark = pytest.mark.system


def test_the_egress_filter_allows_what_its_shadow_allows_and_no_more(node_bed: Bed) -> None:
    """The filter by itself, for in a proxy the listener has refused the same before."""
    bed = node_bed
    pod = bed.pod("alone", mesh=Mesh.NONE)
    allowed, denied = 7001, 7002
    ports = Ports(ranges=(PortRange(first=allowed, last=allowed),))
    here = Rule(id="e", action=Action.ALLOW, dst=Side(nets=("127.0.0.1/32",), ports=ports))
    bed.state.policies["default/e"] = PolicyProgram(id="default/e", egress=(here,))
    endpoint = replace(bed.state.endpoints[pod.id], egress=(tier("default/e", direction="egress"),))
    config = rbac.egress_rbac(egress(bed.state, endpoint, (POD_CIDR,)))
    mute = {name: value for name, value in config.items() if name != "shadow_matcher"}
    listeners = []
    for port, kept in ((allowed, config), (denied, config), (7003, mute)):
        echo = {"name": "echo", "typed_config": typed(echo_pb2.Echo.DESCRIPTOR.full_name)}
        chain = {"filters": [{"name": "rbac", "typed_config": kept}, echo]}
        where = filters.address("127.0.0.1", port)
        body = {"name": str(port), "address": where, "filter_chains": [chain]}
        message = listener_pb2.Listener()
        fill(message, body)
        listeners.append(json_format.MessageToDict(message))
    path = bed.directory / "alone.json"
    path.write_text(json.dumps({"static_resources": {"listeners": listeners}}))
    command = ["ip", "netns", "exec", pod.namespace, str(binary.locate()), "-c", str(path)]
    envoy = subprocess.Popen([*command, "--use-dynamic-base-id", "--log-level", "error"])

    def says(port: int) -> bytes:
        with pod.connect("127.0.0.1", port) as connection:
            connection.sendall(b"hello")
            return first(connection)

    def listens() -> bool:
        with suppress(ConnectionRefusedError):
            return says(allowed) == b"hello"
        return False

    try:
        until("the allowed one is answered", listens)
        assert [says(port) for port in (allowed, denied, 7003)] == [b"hello", b"", b""]
    finally:
        envoy.kill()
        envoy.wait()


def service(*backends: tuple[str, int]) -> ServiceProgram:
    return ServiceProgram(
        id="default/web",
        addresses=("10.96.0.20",),
        ports=(
            ServicePort(
                protocol=6,
                port=8080,
                backends=tuple(Backend(address=address, port=port) for address, port in backends),
            ),
        ),
    )


def test_a_service_address_leads_to_its_endpoints_in_and_out_of_the_mesh(bed: Bed) -> None:
    web = bed.pod("web")
    plain = bed.pod("plain", mesh=Mesh.NONE)
    customer = bed.pod("customer")
    web.listen(80, echo_http)
    plain.listen(81, echo_http)
    bed.update(services={"default/web": service((web.address, 80))})
    bed.settle()
    assert reads(customer, "10.96.0.20", 8080) == 200
    event = bed.seen(log="tcp", final=False)
    assert (event.destination, event.destination_port) == (web.address, 80)
    assert event.peer == customer.identity

    bed.update(services={"default/web": service((plain.address, 81), (web.address, 80))})

    def both() -> bool:
        """Which one a request gets is chance."""
        assert reads(customer, "10.96.0.20", 8080) == 200
        used = {event.destination for event in bed.events if event.log == "egress"}
        return {web.address, plain.address} <= used

    until("both endpoints are used", both)
    assert reads(customer, "10.96.0.20", 9) == 0
    bed.update(services={"default/web": service()})
    assert reads(customer, "10.96.0.20", 8080) == 0


def test_the_world_outside_is_reached_and_an_unowned_pod_address_is_not(bed: Bed) -> None:
    customer = bed.pod("customer")
    bed.settle()
    unowned = "10.244.255.254"
    served = Greeter()
    for address in ("192.0.2.1", unowned):
        listener = netns.call_in(bed.network, partial(socket.create_server, (address, 7000)))
        bed.sockets.append(listener)
    outside, inside = bed.sockets[-2:]
    with customer.connect("192.0.2.1", 7000):
        outside.settimeout(PATIENCE)
        outside.accept()[0].close()
    with customer.connect(unowned, 7000) as connection:
        assert rest(connection) == b""
    assert bed.seen(log="egress", verdict="deny").rules == ("_mesh/unknown-destination",)
    inside.settimeout(0.2)
    with pytest.raises(TimeoutError):
        inside.accept()
    assert served.visitors == 0


def test_a_pod_reaches_itself(bed: Bed) -> None:
    web = bed.pod("web")
    web.listen(80, echo_http)
    bed.update(services={"default/web": service((web.address, 80))})
    bed.settle()
    assert reads(web, web.address, 80) == 200
    assert reads(web, "10.96.0.20", 8080) == 200


def test_the_egress_program_is_enforced_at_its_source(bed: Bed) -> None:
    web = bed.pod("web")
    plain = bed.pod("plain", mesh=Mesh.NONE)
    customer = bed.pod("customer", egress=(tier("default/out", direction="egress"),))
    served = Greeter()
    for port in (80, 81):
        web.listen(port, served)
        plain.listen(port, served)
    rule = Rule(
        id="default/out/egress/0",
        action=Action.ALLOW,
        protocols=(6,),
        dst=Side(
            nets=(f"{web.address}/32", "10.244.0.0/30"),
            ports=Ports(ranges=(PortRange(first=80, last=80),)),
        ),
    )
    services = {"default/web": service((web.address, 80), (web.address, 81))}
    policy = PolicyProgram(id="default/out", egress=(rule,))
    bed.update(policies={policy.id: policy}, services=services)
    bed.settle()

    for pod in (web, plain):
        assert first(customer.connect(pod.address, 80)) == b"220 welcome\r\n"
        visitors = served.visitors
        assert rest(customer.connect(pod.address, 81)) == b""
        assert served.visitors == visitors
    denied = bed.seen(log="egress", verdict="deny")
    assert denied.rules == ("_tier/default/egress/default",)
    assert (denied.source, denied.destination_port) == (customer.address, 81)
    # Through the service, the endpoint's own port counts.
    answers: set[bytes] = set()

    def both() -> bool:
        """Which one a connection gets is chance."""
        answers.add(first(customer.connect("10.96.0.20", 8080)))
        return len(answers) > 1

    until("both endpoints are tried", both)
    assert answers == {b"", b"220 welcome\r\n"}
    # A service that leads nowhere is not listed, and is refused by what denies its backend.
    visitors = served.visitors
    closed = replace(service((web.address, 81)), id="default/closed", addresses=("10.96.0.21",))
    assert bed.update(services={"default/closed": closed}) == ()
    own = names.prefix(customer.path) if bed.mesh is Mesh.NODE else ""
    held = customer.admin("/config_dump")
    assert own + names.service_cluster(names.LISTED, "10.96.0.20:8080") in held
    assert own + names.service_cluster(names.LISTED, "10.96.0.21:8080") not in held
    assert rest(customer.connect("10.96.0.21", 8080)) == b""
    refused = bed.seen(log="egress", destination="10.96.0.21")
    assert (refused.verdict, refused.rules) == ("deny", ("_tier/default/egress/default",))
    assert served.visitors == visitors


def test_permissive_takes_plaintext_without_identity_where_it_says(bed: Bed) -> None:
    web = bed.pod(
        "web",
        authentication=Authentication(
            mode=MtlsMode.PERMISSIVE, ports={81: MtlsMode.STRICT}, id="default/pa:web/mtls"
        ),
    )
    customer = bed.pod("customer")
    plain = bed.pod("plain", mesh=Mesh.NONE)
    for port in (80, 81):
        web.listen(port, echo_http)
    bed.settle()
    assert reads(plain, web.address, 80) == 200
    event = bed.seen(log="tcp", final=False)
    assert (event.source, event.peer, event.rules) == (plain.address, "", ("_profile/kns.default/ingress/0",))
    assert reads(plain, web.address, 81) == 0
    assert bed.seen(log="connection", verdict="deny").rules == ("default/pa:web/mtls",)
    assert reads(customer, web.address, 80) == 200
    assert bed.seen(log="tcp", final=False, peer=customer.identity).tls == "TLSv1.3"


def test_a_pod_that_may_go_nowhere_is_served(bed: Bed) -> None:
    """Envoy asks for no filter of connections that cannot be: its containers would never start."""
    closed = bed.pod("closed", egress=(tier("default/none", direction="egress"),))
    web = bed.pod("web")
    web.listen(80, echo_http)
    closed.listen(80, echo_http)
    bed.settle()
    assert reads(closed, web.address, 80) == 0
    assert reads(web, closed.address, 80) == 200
