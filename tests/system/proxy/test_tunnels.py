"""A proxy holds the tunnels that it uses, and asks the agent for each when it first needs it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.meshapps import Greeter, echo_http, first, reads, rest
from tests.support.proxybed import Bed, Pod, tier, until
from tests.support.wait import PATIENCE

from tsujiban.policy.program import (
    Action,
    AddressSet,
    Backend,
    Member,
    Mesh,
    Peer,
    PolicyProgram,
    Rule,
    ServicePort,
    ServiceProgram,
    Side,
)
from tsujiban.proxy import names, odcds, ondemand, routes

pytestmark = pytest.mark.system
MANY = 100
GREETING = b"220 welcome\r\n"


def strangers(bed: Bed, count: int = MANY) -> dict[str, Peer]:
    """Others of the mesh, elsewhere."""
    found = {}
    for number in range(count):
        address = f"10.244.{100 + number // 250}.{number % 250}"
        name = bed.identity(f"stranger-{number}")
        found[address] = Peer(address=address, endpoint=address, identity=name, mesh=Mesh.SIDECAR)
    return found


def clusters(pod: Pod) -> list[str]:
    """All that a pod's Envoy was told of."""
    dump = json.loads(pod.admin("/config_dump"))
    found: list[Any] = []
    for part in dump["configs"]:
        found += part.get("dynamic_active_clusters", [])
    return sorted(one["cluster"]["name"] for one in found)


def held(pod: Pod) -> list[str]:
    """The tunnels that a pod's Envoy holds."""
    return [name for name in clusters(pod) if names.mesh_address(name)]


def services(pod: Pod, own: str) -> list[str]:
    """The services that a pod's Envoy holds; `own` is the prefix of the pod's."""
    return [name for name in clusters(pod) if name.startswith(own + names.SERVICE_CLUSTER)]


def outbound(pod: Pod) -> list[str]:
    """Version by version, what a pod's Envoy holds for outgoing connections."""
    dump = json.loads(pod.admin("/config_dump?include_eds"))
    found: list[str] = []
    for part in dump["configs"]:
        for one in part.get("dynamic_active_clusters", []):
            found.append(f"{one['cluster']['name']} {one['version_info']} {one['last_updated']}")
        for one in part.get("dynamic_listeners", []):
            if names.OUTBOUND in one["name"]:
                found.append(f"{one['name']} {one['active_state']['last_updated']}")
    return sorted(found)


def test_a_proxy_holds_the_tunnels_that_it_uses_however_many_peers_there_are(bed: Bed) -> None:
    web, other, customer = bed.pod("web"), bed.pod("other"), bed.pod("customer")
    web.listen(80, echo_http)
    other.listen(80, echo_http)
    bed.update(peers=strangers(bed))
    bed.settle()
    assert held(customer) == []
    assert reads(customer, web.address, 80) == 200
    assert bed.seen(log="tcp", final=False).peer == customer.identity
    assert held(customer) == [names.mesh_cluster(names.ASKED, web.address)]

    before = outbound(customer)
    assert bed.update(peers=strangers(bed, MANY + 1)) == ()
    assert bed.update(peers={next(iter(strangers(bed))): None}) == ()
    assert outbound(customer) == before
    assert reads(customer, other.address, 80) == 200
    assert len(held(customer)) == 2


def test_where_nobody_is_connections_are_refused_at_once_until_somebody_comes(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(routes._ON_DEMAND, "timeout", "600s")  # nobody is refused because time is up
    web, customer = bed.pod("web"), bed.pod("customer")
    served = Greeter()
    web.listen(80, served)
    there = bed.state.peers.pop(web.address)
    bed.settle()
    for _ in range(2):
        assert rest(customer.connect(web.address, 80)) == b""
    refused = bed.seen(log="egress", destination=web.address)
    assert (refused.verdict, refused.rules) == ("deny", (names.UNKNOWN_RULE,))
    assert bed.update(peers={web.address: there}) == ()
    assert first(customer.connect(web.address, 80)) == b"220 welcome\r\n"
    with customer.connect(web.address, 80) as connection:  # what is open stays when its peer is forgotten
        assert connection.recv(100) == b"220 welcome\r\n"
        assert bed.update(peers={web.address: None}) == ()
        assert rest(customer.connect(web.address, 80)) == b""
        connection.sendall(b"QUIT\r\n")
        visitors = served.visitors
        assert bed.update(peers={web.address: there}) == ()
    assert first(customer.connect(web.address, 80)) == b"220 welcome\r\n"
    assert served.visitors == visitors + 1


def test_an_address_that_changes_hands_is_asked_for_its_new_owner(bed: Bed) -> None:
    web, customer = bed.pod("web"), bed.pod("customer")
    web.listen(80, echo_http)
    bed.settle()
    assert reads(customer, web.address, 80) == 200
    stolen = Peer(address=web.address, endpoint="default/x", identity=bed.identity("x"), mesh=Mesh.SIDECAR)
    mine = bed.state.peers[web.address]
    assert bed.update(peers={web.address: stolen}) == ()
    assert reads(customer, web.address, 80) == 0
    assert bed.seen(log="egress", verdict="deny").rules == (names.IDENTITY_RULE,)
    assert bed.update(peers={web.address: mine}) == ()
    assert reads(customer, web.address, 80) == 200


def test_who_may_reach_few_has_their_tunnels_beforehand(bed: Bed) -> None:
    few = [bed.pod("web"), bed.pod("other")]
    customer = bed.pod("customer", egress=(tier("default/out", direction="egress"),))
    for pod in few:
        pod.listen(80, echo_http)
    members = frozenset(Member(net=pod.address, identity=pod.identity) for pod in few)
    rule = Rule(id="default/out/0", action=Action.ALLOW, dst=Side(sets=("s",)))
    policy = PolicyProgram(id="default/out", egress=(rule,))
    sets = {"s": AddressSet(id="s", members=members)}
    bed.update(peers=strangers(bed), sets=sets, policies={policy.id: policy})
    bed.settle()
    listed = [names.mesh_cluster(names.LISTED, pod.address) for pod in few]
    assert held(customer) == listed
    # a node's Envoy asks for a pod's certificate when the pod first speaks to somebody
    assert reads(customer, few[0].address, 80) == 200
    bed.kill_agent()
    assert reads(customer, few[1].address, 80) == 200
    assert held(customer) == listed


def test_without_an_agent_whom_it_has_not_spoken_with_stays_closed(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(routes._ON_DEMAND, "timeout", "0.5s")
    web, other, customer = bed.pod("web"), bed.pod("other"), bed.pod("customer")
    served = Greeter()
    web.listen(80, echo_http)
    other.listen(80, served)
    bed.settle()
    until("it was told in time", lambda: reads(customer, web.address, 80) == 200)
    bed.kill_agent()
    assert reads(customer, web.address, 80) == 200  # what it holds goes on
    assert rest(customer.connect(other.address, 80)) == b""
    assert served.visitors == 0
    assert held(customer) == [names.mesh_cluster(names.ASKED, web.address)]
    bed.start_agent()
    untold = bed.seen(log="egress", destination=other.address, verdict="deny")  # it has waited
    assert untold.rules == (names.UNLISTED_RULE,)
    assert "did not tell the proxy in time" in untold.detail
    until("it was told", lambda: first(customer.connect(other.address, 80)) == b"220 welcome\r\n")
    assert reads(customer, web.address, 80) == 200
    assert len(held(customer)) == 2


def many_services(*backends: Pod) -> dict[str, ServiceProgram]:
    """So many that a proxy asks for each; the first one is led to the pods given."""
    found = {}
    for number in range(MANY):
        listed = backends if number == 0 else ()
        port = ServicePort(
            protocol=6, port=80, backends=tuple(Backend(address=one.address, port=80) for one in listed)
        )
        name = f"default/s{number}"
        found[name] = ServiceProgram(id=name, addresses=(f"10.96.0.{number + 1}",), ports=(port,))
    return found


def test_a_proxy_holds_the_services_that_it_uses_however_many_there_are(bed: Bed) -> None:
    web, customer = bed.pod("web"), bed.pod("customer")
    plain, late = bed.pod("plain", mesh=Mesh.NONE), Greeter()
    served = Greeter()
    web.listen(80, served)
    plain.listen(80, late)
    address = "10.96.0.1"
    bed.update(services={"default/s0": many_services(web)["default/s0"]})
    bed.settle()
    open_before = customer.connect(address, 80)
    assert open_before.recv(100) == GREETING
    assert bed.update(services=many_services(web)) == ()
    own = names.prefix(customer.path) if bed.mesh is Mesh.NODE else ""
    asked = own + names.service_cluster(names.ASKED, f"{address}:80")
    assert services(customer, own) == []
    assert first(customer.connect(address, 80)) == GREETING
    assert services(customer, own) == [asked]

    before = [one for one in outbound(customer) if asked not in one]
    assert bed.update(services={"default/s0": many_services(plain)["default/s0"]}) == ()
    assert [one for one in outbound(customer) if asked not in one] == before  # its endpoints are its own
    assert first(customer.connect(address, 80)) == GREETING
    assert (late.visitors, served.visitors) == (1, 2)
    assert bed.update(services={"default/s0": None}) == ()
    assert bed.update(services={"default/s0": many_services(web)["default/s0"]}) == ()
    assert first(customer.connect(address, 80)) == GREETING

    bed.kill_agent()
    assert first(customer.connect(address, 80)) == GREETING
    bed.start_agent()
    assert bed.update(services={"default/s0": many_services(plain)["default/s0"]}) == ()
    until("it was told", lambda: first(customer.connect(address, 80)) and late.visitors > 1, timeout=PATIENCE)
    open_before.sendall(b"QUIT\r\n")  # it was never touched
    assert first(open_before) == b"QUIT\r\n"
    open_before.close()


def test_tunnels_that_are_not_used_are_let_go_and_come_back_when_they_are_wanted(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(odcds, "REST_SECONDS", 0.2)
    monkeypatch.setitem(routes._ON_DEMAND, "timeout", "600s")  # nobody is refused because time is up
    web, other, customer = bed.pod("web"), bed.pod("other"), bed.pod("customer")
    web.listen(80, Greeter())
    other.listen(80, Greeter())
    bed.settle()
    open_before = customer.connect(web.address, 80)
    assert first(open_before) == GREETING
    assert first(customer.connect(other.address, 80)) == GREETING
    assert len(held(customer)) == 2
    with monkeypatch.context() as patch:
        patch.setattr(ondemand, "IDLE_SECONDS", 0.0)
        patch.setattr(ondemand, "KEPT", 0)
        until("all are let go", lambda: held(customer) == [], timeout=PATIENCE)
    open_before.sendall(b"still here")  # what goes over one goes on
    assert first(open_before) == b"still here"
    for pod in (web, other):
        assert first(customer.connect(pod.address, 80)) == GREETING
    assert len(held(customer)) == 2
    open_before.close()
