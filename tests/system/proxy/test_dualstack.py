"""Pods with both IP versions: the same policy, the same identities, the same refusals over IPv6."""

from __future__ import annotations

import pytest
from tests.support.meshapps import READS, allow, ask, echo_http, reads, web_client
from tests.support.proxybed import Bed, Pod, tier

from tsujiban.policy.program import AddressSet, Member, Mesh

pytestmark = pytest.mark.system


@pytest.fixture
def web(bed: Bed) -> tuple[Pod, str]:
    """A web server that `customer` may GET below /v1, over both."""
    server = bed.pod("web", ingress=(tier("default/web"),))
    customer = bed.pod("customer")
    stranger = bed.pod("stranger")
    bed.pod("plain", mesh=Mesh.NONE)
    address = server.add_ipv6()
    theirs = {customer.add_ipv6(), customer.address}
    stranger.add_ipv6()
    bed.pods["plain"].add_ipv6()
    server.listen(80, echo_http, dual=True)
    members = frozenset(Member(net=one, identity=customer.identity) for one in theirs)
    changes = allow(customer, http=READS)
    changes["sets"] = {"s:clients": AddressSet(id="s:clients", members=members)}
    assert bed.update(**changes) == ()
    bed.settle()
    return server, address


def test_both_versions_are_judged_alike(bed: Bed, web: tuple[Pod, str]) -> None:
    server, address = web
    customer, stranger = bed.pods["customer"], bed.pods["stranger"]
    for where in (address, server.address):
        connection = web_client(customer, where, 80)
        assert ask(connection, "GET", "/v1/x")[0] == 200
        assert ask(connection, "PUT", "/v1/x")[0] == 403
        event = bed.seen(log="http", method="PUT", destination=where)
        assert (event.peer, event.tls) == (customer.identity, "TLSv1.3")
        assert event.rules == ("_tier/default/ingress/default",)
        assert reads(stranger, where, 80) == 0
        refused = bed.seen(log="tunnel", verdict="deny", destination=where)
        assert (refused.peer, refused.rules) == (stranger.identity, ("_tier/default/ingress/default",))


def test_plaintext_over_ipv6_is_refused_with_its_rule(bed: Bed, web: tuple[Pod, str]) -> None:
    _, address = web
    assert reads(bed.pods["plain"], address, 80) == 0
    assert bed.seen(log="connection", destination=address).rules == ("_mesh/strict",)
