"""Keys and addresses: one without the other opens nothing."""

from __future__ import annotations

import pytest
from tests.support.meshapps import (
    Greeter,
    allow,
    drain,
    echo_http,
    first,
    reads,
    rest,
    tls_socket,
    tunnel_status,
)
from tests.support.pki import Pki
from tests.support.proxybed import Bed, tier

from tsujiban.policy.program import Mesh

pytestmark = pytest.mark.system


def test_a_server_with_another_identity_is_not_spoken_to(bed: Bed) -> None:
    web = bed.pod("web")
    customer = bed.pod("customer")
    served = Greeter()
    web.listen(80, served)
    bed.settle()
    assert first(customer.connect(web.address, 80)) == b"220 welcome\r\n"

    async def impersonate() -> None:
        assert bed.post is not None
        bed.post.set_secret(web.id, bed.issue(bed.identity("mallory")))
        await bed.post.enforced(bed.state.revision)

    bed.agent(impersonate())
    customer.stop_envoy()  # its pooled connections are to the real one
    customer.start_envoy()
    bed.settle()
    visitors = served.visitors
    assert rest(customer.connect(web.address, 80)) == b""
    assert served.visitors == visitors
    assert "CERTIFICATE_VERIFY_FAILED" in bed.seen(log="egress", verdict="deny").detail


def test_a_stolen_certificate_is_useless_from_another_address(bed: Bed) -> None:
    web = bed.pod("web", ingress=(tier("default/web"),))
    customer = bed.pod("customer")
    thief = bed.pod("thief", mesh=Mesh.NONE)
    served = Greeter()
    web.listen(80, served)
    bed.update(**allow(customer))
    bed.settle()

    stolen = bed.svids[customer.id]
    with tls_socket(bed, thief, stolen, web.address, 80) as secure:
        assert tunnel_status(secure, f"{web.address}:80") == 403
    refused = bed.seen(log="tunnel", verdict="deny")
    assert refused.rules == ("_mesh/identity",)
    assert (refused.peer, refused.source) == (customer.identity, thief.address)
    assert served.visitors == 0


def test_the_authority_of_a_tunnel_decides_nothing(bed: Bed) -> None:
    web = bed.pod("web", ingress=(tier("default/web"),))
    bare = bed.pod("bare", mesh=Mesh.NONE)
    served = Greeter()
    web.listen(81, served)
    bed.state.peers[bare.address] = bed.state.peers[web.address].__class__(
        address=bare.address, endpoint=bare.id, identity=bare.identity, mesh=Mesh.SIDECAR
    )
    bed.update(**allow(bare, ports=(80,)))
    bed.settle()

    own = bed.issue(bare.identity)
    with tls_socket(bed, bare, own, web.address, 81) as secure:
        assert tunnel_status(secure, f"{web.address}:80") == 403
    assert bed.seen(log="tunnel", verdict="deny").destination_port == 81
    assert served.visitors == 0


def test_foreign_self_signed_and_missing_certificates_are_refused(bed: Bed) -> None:
    web = bed.pod("web")
    outsider = bed.pod("outsider", mesh=Mesh.NONE)
    web.listen(80, echo_http)
    bed.settle()

    foreign = Pki(bed.directory / "foreign", "evil.example")
    namesake = Pki(bed.directory / "namesake", bed.pki.trust_domain)
    candidates = {
        "another trust domain": bed.issue("spiffe://evil.example/ns/default/sa/web", foreign),
        "our name, another authority": bed.issue(web.identity, namesake),
        "none": None,
    }
    for what, svid in candidates.items():
        bed.events.clear()
        try:
            with tls_socket(bed, outsider, svid, web.address, 80) as secure:
                status = tunnel_status(secure, f"{web.address}:80")
        except OSError:
            status = 0
        assert status == 0, what
        event = bed.seen(log="connection", verdict="deny")
        assert event.source == outsider.address
        assert event.detail, what


def test_plaintext_is_refused_and_named(bed: Bed) -> None:
    web = bed.pod("web")
    outsider = bed.pod("outsider", mesh=Mesh.NONE)
    served = Greeter()
    web.listen(80, served)
    bed.settle()

    assert reads(outsider, web.address, 80) == 0
    refused = bed.seen(log="connection", verdict="deny")
    assert refused.rules == ("_mesh/strict",)
    assert (refused.source, refused.destination_port) == (outsider.address, 80)
    with outsider.connect(web.address, 80) as silent:
        assert drain(silent, 0.5) == b""
    assert served.visitors == 0
