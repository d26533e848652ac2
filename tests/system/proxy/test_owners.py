"""Where anybody is let in no proxy lists everybody, and yet each has to own the address he comes from."""

from __future__ import annotations

from contextlib import suppress

import pytest
from tests.support.meshapps import (
    READS,
    Greeter,
    allow,
    echo_http,
    first,
    reads,
    rest,
    tls_socket,
    tunnel_status,
)
from tests.support.proxybed import Bed, Pod, tier

from tsujiban.policy.program import Action, AddressSet, Member, Mesh, Peer, PolicyProgram, Rule, Side
from tsujiban.proxy import names, owners

pytestmark = pytest.mark.system
GREETING = b"220 welcome\r\n"


def everybody_but(*members: Member) -> dict[str, dict[str, object]]:
    """A policy of the server's that turns some away and lets anybody else in."""
    rules = (
        Rule(id="default/web/ingress/0", action=Action.DENY, src=Side(sets=("s:out",))),
        Rule(id="default/web/ingress/1", action=Action.ALLOW),
    )
    return {
        "policies": {"default/web": PolicyProgram(id="default/web", ingress=rules)},
        "sets": {"s:out": AddressSet(id="s:out", members=frozenset(members))},
    }


def test_anybody_is_let_in_who_owns_his_address_and_nobody_else(bed: Bed) -> None:
    web, customer = bed.pod("web", ingress=(tier("default/web"),)), bed.pod("customer")
    other, thief = bed.pod("other"), bed.pod("thief", mesh=Mesh.NONE)
    served = Greeter()
    web.listen(80, served, dual=True)
    web_v6 = web.add_ipv6()
    customer.add_ipv6()
    bed.update(**everybody_but(Member(net=other.address, identity=other.identity)))
    bed.settle()
    for address in (web.address, web_v6):
        assert first(customer.connect(address, 80)) == GREETING
    assert bed.seen(log="tcp", final=False).rules == ("default/web/ingress/1",)
    assert rest(other.connect(web.address, 80)) == b""
    assert bed.seen(log="tunnel", verdict="deny").rules == ("default/web/ingress/0",)

    visitors = served.visitors
    for stolen in (bed.svids[customer.id], bed.issue(bed.identity("nobody"))):
        bed.events.clear()
        with tls_socket(bed, thief, stolen, web.address, 80) as secure:
            assert tunnel_status(secure, f"{web.address}:80") == 403
        refused = bed.seen(log="tunnel", verdict="deny")
        assert (refused.rules, refused.source) == ((names.IDENTITY_RULE,), thief.address)
    assert served.visitors == visitors


def owned(bed: Bed, pod: Pod, name: str) -> dict[str, Peer]:
    """A pod's address is that of a workload of this name."""
    identity = bed.identity(name)
    return {pod.address: Peer(address=pod.address, endpoint=name, identity=identity, mesh=Mesh.SIDECAR)}


def opened(bed: Bed, pod: Pod, name: str, web: Pod) -> int:
    """Open a tunnel from a pod with the certificate of the workload of this name; the status."""
    with tls_socket(bed, pod, bed.issue(bed.identity(name)), web.address, 80) as secure:
        return tunnel_status(secure, f"{web.address}:80")


def test_without_an_agent_whoever_was_known_is_let_in_and_who_is_new_is_not(bed: Bed) -> None:
    web, known, late = bed.pod("web"), bed.pod("known", mesh=Mesh.NONE), bed.pod("late", mesh=Mesh.NONE)
    web.listen(80, echo_http)
    bed.update(peers=owned(bed, known, "known"))
    bed.settle()
    bed.kill_agent()
    assert opened(bed, known, "known", web) == 200  # for the first time
    assert opened(bed, late, "late", web) == 403
    # a proxy believes nothing that its tables were not made with, whoever says so
    file = bed.directory / "owners" / str(owners.bucket(late.address))
    lines = file.read_text() if file.exists() else "\n"
    for since, status in ((99, 403), (0, 200)):
        file.write_text(f"{lines}{late.address} {bed.identity('late')} {since}\n")
        assert opened(bed, late, "late", web) == status


def test_what_is_open_ends_when_its_address_has_another_owner(bed: Bed) -> None:
    web, bare = bed.pod("web"), bed.pod("bare", mesh=Mesh.NONE)
    web.listen(80, echo_http)
    bed.update(peers=owned(bed, bare, "before"))
    bed.settle()
    assert (opened(bed, bare, "before", web), opened(bed, bare, "after", web)) == (200, 403)
    with tls_socket(bed, bare, bed.issue(bed.identity("before")), web.address, 80) as secure:
        assert tunnel_status(secure, f"{web.address}:80") == 200
        assert bed.update(peers=owned(bed, bare, "after")) == ()
        ended = bed.seen(log="ended", verdict="deny", destination_port=names.INBOUND_PORT)
        assert (ended.rules, ended.source) == ((names.IDENTITY_RULE,), bare.address)
        assert ended.peer == bed.identity("before")
        with suppress(ConnectionResetError):
            while secure.recv(4096):
                pass
    assert (opened(bed, bare, "before", web), opened(bed, bare, "after", web)) == (403, 200)


def test_a_pod_at_the_address_of_one_that_has_just_ended_has_none_of_its_rights(bed: Bed) -> None:
    """Within the second, with a tunnel and a connection of the one before still there: before the server's
    proxy has heard of it, and when it has."""
    web, before = bed.pod("web", ingress=(tier("default/web"),)), bed.pod("before")
    web.listen(80, echo_http)
    bed.update(**allow(before, http=READS))
    bed.settle()
    assert reads(before, web.address, 80) == 200
    with before.connect(web.address, 80):
        bed.drop("before")
        after = bed.pod("after", at=before.address)
        assert after.address == before.address
        bed.settle()
        assert reads(after, web.address, 80) == 0
        bed.seen(log="tunnel", verdict="deny", peer=after.identity, source=after.address)
        assert bed.update() == ()  # of who is there; the policy still names the one before
        assert reads(after, web.address, 80) == 0
    assert not [event for event in bed.events if event.peer == after.identity and event.verdict == "allow"]
