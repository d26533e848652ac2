"""Certificates that are on the mesh's list, or have expired: refused by servers and by clients, recorded, and
what they opened ends."""

from __future__ import annotations

import time

import msgspec
import pytest
from tests.support.meshapps import Greeter, ask, echo_http, rest, tls_socket, tunnel_status, web_client
from tests.support.proxybed import Bed, Pod, until
from tests.support.revoking import revoked, serial

from tsujiban.identity.svid import Svid
from tsujiban.policy.program import Mesh, Peer
from tsujiban.policy.revocation import RULE

pytestmark = pytest.mark.system


def refused_status(bed: Bed, wire: Pod, web: Pod, svid: Svid) -> int:
    """What a client with this certificate gets; 0 when TLS is refused."""
    try:
        with tls_socket(bed, wire, svid, web.address, 3306) as secure:
            return tunnel_status(secure, f"{web.address}:3306")
    except OSError:
        return 0


def test_revoked_and_expired_certificates(bed: Bed) -> None:
    web = bed.pod("web", authorization=(RULE,), named_ports=(("http", 6, 80),))
    customer = bed.pod("customer", authorization=(RULE,))
    wire = bed.pod("wire", mesh=Mesh.NONE)
    bed.state.peers[wire.address] = Peer(
        address=wire.address, endpoint=wire.id, identity=wire.identity, mesh=Mesh.SIDECAR
    )
    web.listen(80, echo_http)
    web.listen(3306, Greeter())
    assert bed.update(authorizations=revoked(bed)) == ()
    bed.settle()

    client = web_client(customer, web.address, 80)
    assert ask(client, "GET", "/")[0] == 200
    with customer.connect(web.address, 3306) as connection:
        assert connection.recv(100) == b"220 welcome\r\n"
        assert bed.update(authorizations=revoked(bed, customer.identity)) == ()
        assert rest(connection) == b""  # it has ended
    assert ask(client, "GET", "/again")[0] == 403
    refused = bed.seen(log="http", path="/again")
    assert (refused.rules, refused.peer) == ((RULE,), customer.identity)
    with customer.connect(web.address, 3306) as connection:
        assert rest(connection) == b""
    assert bed.seen(log="tunnel", verdict="deny").rules == (RULE,)
    assert bed.update(authorizations=revoked(bed)) == ()
    assert ask(web_client(customer, web.address, 80), "GET", "/")[0] == 200

    connection = customer.connect(web.address, 3306)
    assert connection.recv(100) == b"220 welcome\r\n"
    assert bed.update(authorizations=revoked(bed, web.identity)) == ()
    assert rest(connection) == b""  # nor does anybody speak to a revoked server any more
    with customer.connect(web.address, 3306) as again:
        assert rest(again) == b""
    assert bed.seen(log="egress", verdict="deny").rules == (RULE,)
    assert bed.update(authorizations=revoked(bed)) == ()

    stolen, fresh = bed.issue(wire.identity), bed.issue(wire.identity)
    opened = tls_socket(bed, wire, stolen, web.address, 3306)
    assert tunnel_status(opened, f"{web.address}:3306") == 200
    bed.seen(log="tcp", source=wire.address, final=False)
    bed.events.clear()
    assert bed.update(authorizations=revoked(bed, serial(stolen))) == ()
    assert bed.seen(log="ended", peer=wire.identity).rules == (RULE,)
    opened.close()
    assert refused_status(bed, wire, web, fresh) == 200
    assert refused_status(bed, wire, web, stolen) == 0
    refused = bed.seen(log="connection", verdict="deny", source=wire.address)
    assert (refused.rules, refused.peer) == ((RULE,), "")  # who revoked a certificate believes it nothing
    assert refused.detail.endswith(f"its certificate says {wire.identity}")

    short = bed.issue(wire.identity, lifetime=1)
    until("it has expired", lambda: time.time() > short.not_after + 1)
    bed.events.clear()
    assert refused_status(bed, wire, web, short) == 0
    expired = bed.seen(log="connection", verdict="deny", source=wire.address)
    assert "expired" in expired.detail


def test_a_server_that_shows_a_revoked_certificate_is_not_spoken_to(bed: Bed) -> None:
    """The way of a thief who sits in the pod: right address, right name, and a key that should be dead."""
    customer, web = bed.pod("customer", authorization=(RULE,)), bed.pod("web", authorization=(RULE,))
    served = Greeter()
    web.listen(3306, served)
    assert bed.update(authorizations=revoked(bed)) == ()
    bed.settle()
    shown = bed.svids[web.id]
    kept = customer.connect(web.address, 3306)
    assert kept.recv(100) == b"220 welcome\r\n"
    until("the agent knows the tunnel", lambda: tunnels(bed, customer))
    visitors = served.visitors
    bed.events.clear()

    assert bed.update(authorizations=revoked(bed, serial(shown))) == ()
    assert rest(kept) == b""  # it has ended
    ended = bed.seen(log="ended", direction="egress")
    assert (ended.rules, ended.peer, ended.serial) == ((RULE,), web.identity, serial(shown)[7:])
    assert serial(shown) in ended.detail
    with customer.connect(web.address, 3306) as again:
        assert rest(again) == b""
    assert bed.seen(log="egress", verdict="deny").rules == (RULE,)
    assert served.visitors == visitors

    async def renew() -> None:
        assert bed.post is not None
        bed.post.set_secret(web.id, bed.issue(web.identity))
        await bed.post.enforced(bed.state.revision)

    bed.agent(renew())
    with customer.connect(web.address, 3306) as anew:
        assert anew.recv(100) == b"220 welcome\r\n"


def test_no_new_tunnel_goes_over_a_connection_that_was_made_before(bed: Bed) -> None:
    """It waits in the client's pool, and the agent, which is new, has heard of nothing."""
    customer, web = bed.pod("customer", authorization=(RULE,)), bed.pod("web", authorization=(RULE,))
    web.listen(3306, Greeter())
    assert bed.update(authorizations=revoked(bed)) == ()
    bed.settle()
    with customer.connect(web.address, 3306) as connection:
        assert connection.recv(100) == b"220 welcome\r\n"
    bed.seen(log="egress", source=customer.address)
    bed.kill_agent()
    bed.start_agent()
    bed.settle()
    bed.events.clear()
    assert bed.update(authorizations=revoked(bed, serial(bed.svids[web.id]))) == ()
    with customer.connect(web.address, 3306) as connection:
        assert rest(connection) == b""
    assert bed.seen(log="egress", verdict="deny").rules == (RULE,)
    assert not [one for one in bed.events if one.log == "ended"]


def test_a_list_that_is_none_changes_nothing_and_is_told(bed: Bed) -> None:
    """With it every proxy would refuse everybody."""
    customer, web = bed.pod("customer", authorization=(RULE,)), bed.pod("web", authorization=(RULE,))
    web.listen(3306, Greeter())
    assert bed.update(authorizations=revoked(bed, serial(bed.svids[web.id]))) == ()
    bed.settle()
    good = revoked(bed, serial(bed.svids[web.id]))[RULE]
    for crl, reason in (
        ("", "no signed list"),
        (good.crl.replace("M", "N", 1), "cannot be parsed"),
        (good.crl[good.crl.index("-----END") + 23 :], "no signed list"),
        (revoked(bed)[RULE].crl, "not in the signed list"),
    ):
        problems = bed.update(authorizations={RULE: msgspec.structs.replace(good, crl=crl)})
        assert len(problems) == 2, crl
        assert all(reason in one for one in problems), problems
        with customer.connect(web.address, 3306) as connection:  # the list before it counts on
            assert rest(connection) == b""
    assert bed.update(authorizations=revoked(bed)) == ()
    with customer.connect(web.address, 3306) as connection:
        assert connection.recv(100) == b"220 welcome\r\n"


def tunnels(bed: Bed, pod: Pod) -> bool:
    """Whether the agent has heard of an open tunnel of the pod's."""
    assert bed.post is not None
    served, _ = bed.post._pods[pod.id]
    return bool(served._tunnels.denied({serial(one)[7:] for one in bed.svids.values()}))
