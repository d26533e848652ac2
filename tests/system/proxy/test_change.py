"""Changes under traffic: policy, keys, a restarted agent, a killed sidecar."""

from __future__ import annotations

import socket
from functools import partial

import pytest
from tests.support.meshapps import (
    READS,
    Greeter,
    Pinger,
    allow,
    ask,
    echo_http,
    first,
    reads,
    rest,
    web_client,
)
from tests.support.proxybed import Bed, Pod, tier, until

from tsujiban.policy.program import Backend, Http, Peer, ServicePort, ServiceProgram
from tsujiban.proxy import clusters, filters, names
from tsujiban.proxy.post import ProxyPost

pytestmark = pytest.mark.system


def ping(pod: Pod, address: str, port: int) -> Pinger:
    connection = pod.connect(address, port)
    assert connection.recv(100) == b"220 welcome\r\n"
    return Pinger(connection)


def outlasts_changes(bed: Bed, *pingers: Pinger) -> None:
    """Wait until a listener that was changed, if any was, has let go of its connections, and longer."""
    bed.drained()
    for one in pingers:
        until("traffic goes on", partial(one.beyond, one.count + 50))


def test_a_change_denies_the_next_request_on_a_kept_alive_connection(bed: Bed) -> None:
    web = bed.pod("web", ingress=(tier("default/web"),))
    customer = bed.pod("customer")
    web.listen(80, echo_http)
    bed.update(**allow(customer, http=READS))
    bed.settle()

    connection = web_client(customer, web.address, 80)
    assert ask(connection, "GET", "/v1")[0] == 200
    assert bed.update(**allow(customer, http=Http(methods=("POST",)))) == ()
    assert ask(connection, "GET", "/v1")[0] == 403
    assert bed.update(**allow(customer, http=READS)) == ()
    assert ask(connection, "GET", "/v1")[0] == 200


def test_a_new_certificate_breaks_no_connection(bed: Bed) -> None:
    web = bed.pod("web")
    customer = bed.pod("customer")
    web.listen(9000, Greeter())
    bed.settle()
    pinger = ping(customer, web.address, 9000)

    async def rotate() -> None:
        assert bed.post is not None
        for pod in (web, customer):
            bed.post.set_secret(pod.id, bed.issue(pod.identity))
        await bed.post.enforced(bed.state.revision)

    for _ in range(3):
        bed.agent(rotate())
        before = pinger.count
        until("traffic goes on", partial(pinger.beyond, before + 20))
    second = ping(customer, web.address, 9000)
    until("a new connection works", lambda: second.count > 5)
    assert (pinger.stop(), second.stop()) == ("", "")


def test_an_agent_that_comes_back_disturbs_nothing(bed: Bed) -> None:
    web = bed.pod("web", ingress=(tier("default/web"),))
    customer = bed.pod("customer")
    stranger = bed.pod("stranger")
    web.listen(9000, Greeter())
    bed.update(**allow(customer, ports=(9000,)))
    bed.settle()
    pinger = ping(customer, web.address, 9000)
    # a node's Envoy has the stranger's key then, and it is policy that decides
    assert reads(stranger, web.address, 9000) == 0

    bed.kill_agent()
    during = ping(customer, web.address, 9000)
    assert reads(stranger, web.address, 9000) == 0
    until("traffic without an agent", partial(during.beyond, 20))
    bed.start_agent()
    bed.settle()
    outlasts_changes(bed, pinger, during)
    assert reads(stranger, web.address, 9000) == 0
    assert (pinger.stop(), during.stop()) == ("", "")


def test_an_agent_that_has_no_keys_yet_lets_connections_be_and_enforces_what_is_new(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its controller, who signs, may be away for long; Envoy has the keys that the agent before it had."""
    monkeypatch.setattr(filters, "CONNECTIONS_REPEATED", "1s")
    web, customer = bed.pod("web", ingress=(tier("default/web"),)), bed.pod("customer")
    web.listen(9000, Greeter())
    bed.update(**allow(customer, ports=(9000,)))
    bed.settle()
    pinger = ping(customer, web.address, 9000)
    svids = bed.svids
    bed.kill_agent()
    with monkeypatch.context() as without:
        without.setattr(ProxyPost, "set_secret", lambda *_: None)
        bed.start_agent()
    until("Envoy is there", lambda: bed.post is not None and bed.post.connected())
    assert bed.update() == ()
    assert first(customer.connect(web.address, 9000)) == b"220 welcome\r\n"
    until("traffic goes on", partial(pinger.beyond, pinger.count + 20))
    assert pinger.broken == ""
    assert bed.update(**allow(customer, ports=(1,))) == ()
    until("what is denied has ended", lambda: pinger.broken)
    assert rest(customer.connect(web.address, 9000)) == b""

    async def give() -> None:
        assert bed.post is not None
        for name, svid in svids.items():
            bed.post.set_secret(name, svid)

    bed.agent(give())
    assert bed.update(**allow(customer, ports=(9000,))) == ()
    bed.settle()
    assert first(customer.connect(web.address, 9000)) == b"220 welcome\r\n"


def test_new_peers_and_services_disturb_nothing(bed: Bed) -> None:
    web = bed.pod("web")
    customer = bed.pod("customer")
    web.listen(9000, Greeter())
    bed.settle()
    pinger = ping(customer, web.address, 9000)

    for index in range(5):
        address = f"10.244.9.{index}"
        peer = Peer(
            address=address,
            endpoint=f"default/p{index}",
            identity=bed.identity(f"p{index}"),
            mesh=bed.state.peers[web.address].mesh,
        )
        service = ServiceProgram(
            id=f"default/s{index}",
            addresses=(f"10.96.0.{index + 1}",),
            ports=(ServicePort(protocol=6, port=9000, backends=(Backend(address=web.address, port=9000),)),),
        )
        assert bed.update(peers={address: peer}, services={service.id: service}) == ()
    by_service = ping(customer, "10.96.0.3", 9000)
    outlasts_changes(bed, pinger, by_service)
    assert (pinger.stop(), by_service.stop()) == ("", "")


def test_a_killed_sidecar_passes_nothing_until_it_is_back(bed: Bed) -> None:
    web = bed.pod("web", ingress=(tier("default/web"),))
    customer = bed.pod("customer")
    web.listen(80, echo_http)
    bed.update(**allow(customer, http=READS))
    bed.settle()
    assert reads(customer, web.address, 80) == 200
    web.stop_envoy()
    assert reads(customer, web.address, 80) == 0
    web.start_envoy()
    until("the sidecar is back", lambda: reads(customer, web.address, 80) == 200)
    customer.stop_envoy()
    assert reads(customer, web.address, 80) == 0
    customer.start_envoy()
    until("the sidecar is back", lambda: reads(customer, web.address, 80) == 200)


def test_a_sidecar_whose_port_was_taken_listens_once_it_is_free(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "CONNECT_TIMEOUT", "1s")  # who has taken the port answers nobody
    web = bed.pod("web", ingress=(tier("default/web"),))
    customer = bed.pod("customer")
    web.listen(80, echo_http)
    bed.update(**allow(customer, http=READS))
    bed.settle()
    web.stop_envoy()
    with web.inside(lambda: socket.create_server(("", names.INBOUND_PORT))):
        web.start_envoy()
        post = bed.post
        assert post is not None
        problems = until("the sidecar said so", post.problems)
        assert "listener" in problems[0]
        assert reads(customer, web.address, 80) == 0
    until("the sidecar has taken all", partial(bed.ready, web))
    until("it listens", web.listening)
    until("it serves", lambda: reads(customer, web.address, 80) == 200)


def test_a_change_ends_the_uninspected_connections_that_it_denies_and_no_other(bed: Bed) -> None:
    web = bed.pod("web", ingress=(tier("default/web"),))
    customer = bed.pod("customer")
    other = bed.pod("other")
    served = Greeter()
    for port in (9000, 9001):
        web.listen(port, served)
    bed.update(**allow(customer, other, ports=(9000, 9001)))
    bed.settle()
    leaving = ping(customer, web.address, 9000)
    staying = ping(other, web.address, 9000)
    for pod in (customer, other):
        bed.seen(log="tcp", final=False, peer=pod.identity)

    assert bed.update(**allow(other, ports=(9000, 9001))) == ()
    until("the denied connection is closed", lambda: leaving.broken)
    event = bed.seen(log="ended")
    assert (event.peer, event.rules) == (customer.identity, ("_tier/default/ingress/default",))
    before = staying.count
    until("the allowed one goes on", partial(staying.beyond, before + 20))
    assert staying.stop() == ""

    # Where only HTTP is allowed, plain bytes are not any more.
    staying = ping(other, web.address, 9001)
    bed.seen(log="tcp", final=False, destination_port=9001)
    assert bed.update(**allow(other, ports=(9000, 9001), http=READS)) == ()
    until("bytes are ended where HTTP is asked for", lambda: staying.broken)


def test_an_agent_ends_what_was_denied_while_there_was_none(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filters, "CONNECTIONS_REPEATED", "1s")
    web = bed.pod("web", ingress=(tier("default/web"),))
    customer = bed.pod("customer")
    web.listen(9000, Greeter())
    bed.update(**allow(customer, ports=(9000,)))
    bed.settle()
    leaving = ping(customer, web.address, 9000)

    bed.kill_agent()
    bed.state.policies["default/web"] = allow(customer, ports=(1,))["policies"]["default/web"]
    bed.start_agent()
    bed.settle()
    until("Envoy told the new agent, which ended it", lambda: leaving.broken)
    assert bed.seen(log="ended").peer == customer.identity
