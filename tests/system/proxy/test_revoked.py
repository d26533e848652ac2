"""Certificates that are on the mesh's list, or have expired: refused, recorded, and what they opened ends."""

from __future__ import annotations

import time

import pytest
from cryptography import x509
from tests.support.meshapps import Greeter, ask, drain, echo_http, tls_socket, tunnel_status, web_client
from tests.support.proxybed import Bed, until

from tsujiban.identity.svid import Svid
from tsujiban.policy.program import AuthzProgram, Mesh, Peer
from tsujiban.policy.revocation import RULE, compile_revocations
from tsujiban.resources.kinds.core import ConfigMap

pytestmark = pytest.mark.system


def revoked(*entries: str) -> dict[str, AuthzProgram]:
    """Changes: these are on the list, besides one that nobody has."""
    form = compile_revocations(ConfigMap(data={"revoked": "\n".join(("serial:1", *entries))}))
    assert form is not None
    return {RULE: form.program}


def serial(svid: Svid) -> str:
    leaf = x509.load_pem_x509_certificates(svid.chain_pem.encode())[0]
    return f"serial:{leaf.serial_number:x}"


def test_revoked_and_expired_certificates(bed: Bed) -> None:
    web = bed.pod("web", authorization=(RULE,), named_ports=(("http", 6, 80),))
    customer = bed.pod("customer", authorization=(RULE,))
    wire = bed.pod("wire", mesh=Mesh.NONE)
    bed.state.peers[wire.address] = Peer(
        address=wire.address, endpoint=wire.id, identity=wire.identity, mesh=Mesh.SIDECAR
    )
    web.listen(80, echo_http)
    web.listen(3306, Greeter())
    assert bed.update(authorizations=revoked()) == ()
    bed.settle()

    client = web_client(customer, web.address, 80)
    assert ask(client, "GET", "/")[0] == 200
    with customer.connect(web.address, 3306) as connection:
        assert connection.recv(100) == b"220 welcome\r\n"
        assert bed.update(authorizations=revoked(customer.identity)) == ()
        assert drain(connection, 5) == b""  # it has ended
    assert ask(client, "GET", "/again")[0] == 403
    refused = bed.seen(log="http", path="/again")
    assert (refused.rules, refused.peer) == ((RULE,), customer.identity)
    with customer.connect(web.address, 3306) as connection:
        assert drain(connection, 5) == b""
    assert bed.seen(log="tunnel", verdict="deny").rules == (RULE,)
    assert bed.update(authorizations=revoked()) == ()
    assert ask(web_client(customer, web.address, 80), "GET", "/")[0] == 200

    connection = customer.connect(web.address, 3306)
    assert connection.recv(100) == b"220 welcome\r\n"
    assert bed.update(authorizations=revoked(web.identity)) == ()
    assert drain(connection, 5) == b""  # nor does anybody speak to a revoked server any more
    with customer.connect(web.address, 3306) as again:
        assert drain(again, 5) == b""
    assert bed.seen(log="egress", verdict="deny").rules == (RULE,)
    assert bed.update(authorizations=revoked()) == ()

    stolen, fresh = bed.issue(wire.identity), bed.issue(wire.identity)
    with tls_socket(bed, wire, stolen, web.address, 3306) as secure:
        assert tunnel_status(secure, f"{web.address}:3306") == 200
    bed.events.clear()
    assert bed.update(authorizations=revoked(serial(stolen))) == ()
    for svid, expected in ((stolen, 403), (fresh, 200)):
        with tls_socket(bed, wire, svid, web.address, 3306) as secure:
            assert tunnel_status(secure, f"{web.address}:3306") == expected
    refused = bed.seen(log="tunnel", verdict="deny")
    assert (refused.rules, refused.peer) == ((RULE,), wire.identity)

    short = bed.issue(wire.identity, lifetime=1)
    until("it has expired", lambda: time.time() > short.not_after + 1)
    bed.events.clear()
    try:
        with tls_socket(bed, wire, short, web.address, 3306) as secure:
            status = tunnel_status(secure, f"{web.address}:3306")
    except OSError:
        status = 0
    assert status == 0
    expired = bed.seen(log="connection", verdict="deny", source=wire.address)
    assert "expired" in expired.detail
