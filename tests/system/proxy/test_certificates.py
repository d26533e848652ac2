"""Certificates that prove nothing, shown to proxies by real attackers in real TLS: to a server's by a client,
and to a client's by a server that sits at the right address. Each is refused and recorded with its rule.

`wire` is the attacker: the mesh knows it as a member, and its address is its own; but it has no proxy, and
its certificates are made with the keys that a story grants it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import pytest
from cryptography import x509
from tests.support.forge import HOUR, TunnelServer, forged, issuer_of, uri
from tests.support.meshapps import Greeter, rest, tls_client, tls_socket, tunnel_status
from tests.support.pki import Pki
from tests.support.proxybed import Bed, Pod
from tests.system.proxy.conftest import BOTH, make_bed

from tsujiban.agent import records
from tsujiban.controller import nodechecks
from tsujiban.identity.keys import new_key
from tsujiban.identity.svid import Svid
from tsujiban.policy.program import Mesh, Peer
from tsujiban.wire.messages import Flows

pytestmark = pytest.mark.system

T = TypeVar("T")
_ports = itertools.count(4000)


@dataclass(frozen=True)
class Stage:
    """A server, a client and the attacker."""

    bed: Bed
    web: Pod
    customer: Pod
    wire: Pod
    served: Greeter
    namesake: Pki  # an authority that calls itself by our name
    foreign: Pki  # that of another trust domain


@pytest.fixture(scope="module", params=BOTH)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with make_bed(request.param) as bed:
        web, customer = bed.pod("web"), bed.pod("customer")
        wire = bed.pod("wire", mesh=Mesh.NONE)
        bed.state.peers[wire.address] = Peer(
            address=wire.address, endpoint=wire.id, identity=wire.identity, mesh=Mesh.SIDECAR
        )
        served = Greeter()
        web.listen(3306, served)
        bed.settle()
        namesake = Pki(bed.directory / "namesake", bed.pki.trust_domain)
        foreign = Pki(bed.directory / "foreign", "evil.example")
        yield Stage(bed, web, customer, wire, served, namesake, foreign)


def _subordinate(stage: Stage) -> Svid:
    """Signed by the key of a workload's certificate, which may sign nothing."""
    key = new_key()
    own = forged(stage.bed.pki.ca, uri(stage.wire.identity), key=key)
    return forged(stage.bed.pki.ca, uri(stage.wire.identity), issuer=issuer_of(own, key))


Make = Callable[[Stage], Svid]


def _ours(*alternative: str, **more: object) -> Make:
    """Signed by our own authority, in these names ("{}" is the attacker's own)."""
    return lambda stage: forged(
        stage.bed.pki.ca,
        uri(*(one.format(stage.wire.identity) for one in alternative)),
        **more,  # type: ignore[arg-type]
    )


EVIL = "spiffe://evil.example/ns/default/sa/wire"
STORIES: dict[str, Make] = {
    "another trust domain": lambda stage: stage.bed.issue(EVIL, stage.foreign),
    "another trust domain, by our authority": _ours(EVIL),
    "our name, by another trust domain's authority": lambda stage: forged(
        stage.foreign.ca, uri(stage.wire.identity)
    ),
    "our name, by an authority of our name": lambda stage: stage.bed.issue(
        stage.wire.identity, stage.namesake
    ),
    "self-signed": _ours("{}", self_signed=True),
    "self-signed, with a name of 60 kB": _ours("{}" + "x" * 60_000, self_signed=True),
    "self-signed, with a name that commands a terminal": _ours("{}\x1b[2J\n", self_signed=True),
    "signed by a workload": _subordinate,
    "an authority's": _ours("{}", ca=True, signs=True),
    "an authority's that may not sign": _ours("{}", ca=True),
    "a leaf that may sign": _ours("{}", signs=True),
    "expired": _ours("{}", begins=-HOUR, ends=-2.0),
    "not yet valid": _ours("{}", begins=HOUR, ends=2 * HOUR),
    "no name": _ours(),
    "a DNS name": lambda stage: forged(stage.bed.pki.ca, [x509.DNSName("wire.default")]),
    "two names, its own first": _ours("{}", "spiffe://bank.local/ns/default/sa/web"),
    "two names, its own last": _ours("spiffe://bank.local/ns/default/sa/web", "{}"),
    "two names, one of another trust domain": _ours("{}", EVIL),
    "a name with an escape": _ours("spiffe://bank.local/ns/default/sa/wir%65"),
    "a name with an empty part": _ours("spiffe://bank.local/ns//default/sa/wire"),
    "a name with a dot segment": _ours("spiffe://bank.local/ns/default/sa/web/../wire"),
    "a name that ends in a slash": _ours("{}/"),
    "a name in upper case": _ours("spiffe://BANK.LOCAL/ns/default/sa/wire"),
    "a name with a port": _ours("spiffe://bank.local:1/ns/default/sa/wire"),
    "a name with a user": _ours("spiffe://x@bank.local/ns/default/sa/wire"),
    "a name with a query": _ours("{}?a=b"),
    "a name of another scheme": _ours("https://bank.local/ns/default/sa/wire"),
    "the trust domain itself": _ours("spiffe://bank.local"),
    "another workload's": _ours("spiffe://bank.local/ns/default/sa/web"),
    "a node's": _ours("spiffe://bank.local/node/node-1"),
}


def test_a_good_one_is_taken_on_both_sides(stage: Stage) -> None:
    """Else the others would prove nothing."""
    good = forged(stage.bed.pki.ca, uri(stage.wire.identity))
    with tls_socket(stage.bed, stage.wire, good, stage.web.address, 3306) as secure:
        assert tunnel_status(secure, f"{stage.web.address}:3306") == 200
    server = TunnelServer(stage.bed, stage.wire, good, port := next(_ports))
    with stage.customer.connect(stage.wire.address, port) as connection:
        connection.sendall(b"secret")
        assert connection.recv(100) == b"heard"
    assert server.heard == b"secret"


# Envoy's client is content when the name that it wants is among the names. Only our own authority could make
# such a certificate, and it signs one name; the agent, which is told of each tunnel, ends it.
ENDED = {"two names, its own first", "two names, its own last"}


def _all_at_once(stories: Iterable[str], attack: Callable[[str], T]) -> dict[str, T]:
    """The outcome by story. They wait for one another's silence, not in turn."""
    told = list(stories)
    with ThreadPoolExecutor(8) as pool:
        return dict(zip(told, pool.map(attack, told), strict=True))


def test_a_client_that_shows_it_gets_no_tunnel(stage: Stage) -> None:
    bed, visitors = stage.bed, stage.served.visitors

    def attack(story: str) -> tuple[int, int]:
        status, context = 0, tls_client(bed, STORIES[story](stage))
        connection = stage.wire.connect(stage.web.address, 3306)
        port = connection.getsockname()[1]
        try:
            with context.wrap_socket(connection) as secure:
                status = tunnel_status(secure, f"{stage.web.address}:3306")
        except OSError:
            pass
        return status, port

    for story, (status, port) in _all_at_once(STORIES, attack).items():
        assert status in {0, 403}, story
        seen = bed.seen(verdict="deny", direction="ingress", source=stage.wire.address, source_port=port)
        assert (story, seen.endpoint, seen.rules) == (story, stage.web.id, ("_mesh/identity",))
        assert seen.log == "tunnel" or (seen.detail and seen.peer == ""), story  # what it says is not proven
        nodechecks.check("node-1", Flows(flows=(records.of_proxy(seen, "node-1"),)))
    assert stage.served.visitors == visitors


def test_a_server_that_shows_it_is_told_nothing(stage: Stage) -> None:
    bed = stage.bed

    def attack(story: str) -> tuple[TunnelServer, int]:
        server = TunnelServer(bed, stage.wire, STORIES[story](stage), port := next(_ports))
        with stage.customer.connect(stage.wire.address, port) as connection:
            connection.sendall(b"secret")
            answer = rest(connection)
        assert story in ENDED or answer == b"", story
        return server, port

    for story, (server, port) in _all_at_once(STORIES, attack).items():
        log = "ended" if story in ENDED else "egress"
        seen = bed.seen(log=log, verdict="deny", direction="egress", destination_port=port)
        assert (story, seen.endpoint, seen.rules) == (story, stage.customer.id, ("_mesh/identity",))
        assert story in ENDED or (server.heard == b"" and seen.detail), story
