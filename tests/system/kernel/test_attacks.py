"""Attacks on the kernel post, each with its story. The attacker is root in its own pod `a`.

Pod `b` lets `a` reach TCP port 80 and nothing else; pod `c` lets nobody in and is trusted by `b`
on every port. What counts is what arrives at the victims' interfaces.
"""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Iterator

import pytest
from tests.support.frames import (
    ACK,
    FIN,
    MARK,
    PSH,
    RST,
    SYN,
    URG,
    Wire,
    icmp6,
    ip,
    tcp,
    udp,
    unreachable,
)
from tests.support.kernelbed import NODE4, NODE6, OUTSIDE4, Bed, echo, readable, until
from tests.support.kernelbed import ip as run_ip

from tsujiban.kernel.apply import KernelPost
from tsujiban.kernel.verdicts import Letter, RuleKey
from tsujiban.network import namespaces
from tsujiban.policy.program import (
    Action,
    Direction,
    NodeState,
    PolicyProgram,
    PortRange,
    Ports,
    Rule,
    Side,
    Tier,
)

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]
VERSIONS = (4, 6)
OPEN, SHUT = 80, 81


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    made = Bed(("a", "b", "c"))
    yield made
    made.close()


@pytest.fixture
def enforced(bed: Bed, post: KernelPost) -> KernelPost:
    state = NodeState()
    everywhere = (Rule(id="free/egress/0", action=Action.ALLOW),)
    trusted = Side(nets=bed.pods["c"].addresses)
    port = Side(ports=Ports(ranges=(PortRange(first=OPEN, last=OPEN),)))
    state.policies["free"] = PolicyProgram(id="free", egress=everywhere)
    state.policies["b"] = PolicyProgram(
        id="b",
        ingress=(
            Rule(id="b/ingress/0", action=Action.ALLOW, src=trusted),
            Rule(id="b/ingress/1", action=Action.ALLOW, protocols=(6,), dst=port),
        ),
    )
    for name, policies in (("a", ()), ("b", ("b",)), ("c", ())):
        tier = Tier(name="t", default_action=Action.DENY, default_id=f"_tier/{name}", policies=policies)
        program = bed.pods[name].program(ingress=(tier,), profiles=("free",))
        state.endpoints[program.id] = program
    assert post.sync(state, 1).problems == ()
    return post


def ends(bed: Bed, version: int) -> tuple[str, str, str]:
    return bed.address("a", version), bed.address("b", version), bed.address("c", version)


def spoofed(post: KernelPost) -> int:
    return post.counts()[RuleKey(Letter.DENY, Direction.EGRESS, "_kernel/spoofed")].packets


@pytest.mark.parametrize("version", VERSIONS)
def test_the_open_door_is_open_and_the_shut_one_shut(bed: Bed, enforced: KernelPost, version: int) -> None:
    """What every story below relies on: such frames do arrive, when policy lets them."""
    a, b, _ = ends(bed, version)
    with Wire(bed, "a", "b") as wire:
        wire.send(ip(a, b, 6, tcp(a, b, (1000, OPEN), SYN)))
        assert len(wire.arrived(least=1)) == 1
        wire.send(ip(a, b, 6, tcp(a, b, (1000, SHUT), SYN)), ip(a, b, 17, udp(a, b, (1000, OPEN))))
        assert wire.arrived() == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pod_borrows_the_address_of_a_trusted_one(bed: Bed, enforced: KernelPost, version: int) -> None:
    """`c` may reach every port of `b`; `a` writes c's address, then its MAC too, then its MAC alone."""
    a, b, c = ends(bed, version)
    before = spoofed(enforced)
    mac = bed.pods["c"].program().mac
    with Wire(bed, "a", "b", "c") as wire:
        wire.send(ip(c, b, 17, udp(c, b, (1, SHUT))))
        wire.send(ip(c, b, 17, udp(c, b, (1, SHUT))), mac=mac)
        wire.send(ip(a, b, 6, tcp(a, b, (1, OPEN), SYN)), mac=mac)
        assert wire.arrived() == []
    until(lambda: spoofed(enforced) >= before + (2 if version == 6 else 1))


@pytest.mark.parametrize(
    "source",
    [
        "0.0.0.0",  # noqa: S104 - an address in a packet, nothing listens
        "127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
        NODE4,
        OUTSIDE4,
        "::",
        "::1",
        "fe80::1",
        "ff02::1",
        NODE6,
        "::ffff:10.244.0.4",
    ],
)
def test_a_pod_claims_to_be_nobody_the_node_or_everybody(bed: Bed, enforced: KernelPost, source: str) -> None:
    """Addresses that some stack treats specially, hoping that a rule does too."""
    b = bed.address("b", 6 if ":" in source else 4)
    with Wire(bed, "a", "b", "c") as wire:
        wire.send(
            ip(source, b, 6, tcp(source, b, (1, OPEN), SYN)), ip(source, b, 17, udp(source, b, (1, SHUT)))
        )
        assert wire.arrived() == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "flags",
    [ACK, FIN, FIN | ACK, RST, RST | ACK, 0, FIN | PSH | URG, SYN | ACK, SYN | FIN, SYN | RST, PSH | ACK],
)
def test_a_scan_without_a_connection_meets_silence(
    bed: Bed, enforced: KernelPost, flags: int, version: int
) -> None:
    """ACK, FIN, NULL and Xmas scans, and data in the middle of nothing, also to the open port."""
    a, b, _ = ends(bed, version)
    with Wire(bed, "a", "b") as wire:
        wire.send(*(ip(a, b, 6, tcp(a, b, (2000 + flags, port), flags)) for port in (OPEN, SHUT)))
        assert wire.arrived(0.1) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_data_in_a_syn_opens_no_other_port(bed: Bed, enforced: KernelPost, version: int) -> None:
    """TCP Fast Open: a SYN that carries a request is a SYN, judged as one."""
    a, b, _ = ends(bed, version)
    with Wire(bed, "a", "b") as wire:
        wire.send(ip(a, b, 6, tcp(a, b, (3000, SHUT), SYN, MARK * 10)))
        assert wire.arrived() == []
        wire.send(ip(a, b, 6, tcp(a, b, (3000, SHUT), PSH | ACK, MARK, 1001)))  # as if it were open now
        assert wire.arrived() == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_packet_in_pieces_is_judged_whole(bed: Bed, enforced: KernelPost, version: int) -> None:
    """A first piece too small for the ports, later ones alone, and one that rewrites the port."""
    a, b, _ = ends(bed, version)
    shut, open_ = (tcp(a, b, (4000, port), SYN, MARK * 4) for port in (SHUT, OPEN))
    with Wire(bed, "a", "b") as wire:
        # the ports come in the first 8 bytes, the flags in the second
        wire.send(ip(a, b, 6, shut[:8], more=True, number=1), ip(a, b, 6, shut[8:], fragment=1, number=1))
        assert wire.arrived() == []
        wire.send(ip(a, b, 6, shut[8:], fragment=1, number=2))
        assert wire.arrived() == []
        # the second piece overlaps the first, and says another port
        wire.send(
            ip(a, b, 6, open_[:24], more=True, number=3),
            ip(a, b, 6, shut[:24], more=True, number=3),
            ip(a, b, 6, shut[24:], fragment=3, number=3),
        )
        for packet in wire.arrived():
            offset = 20 if version == 4 else 40
            assert struct.unpack_from("!H", packet, offset + 2)[0] != SHUT
        # and whole packets in pieces do pass, where they may
        wire.send(ip(a, b, 6, open_[:24], more=True, number=4), ip(a, b, 6, open_[24:], fragment=3, number=4))
        assert wire.arrived(least=1) != []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pod_slips_a_piece_of_its_own_into_a_packet_of_a_trusted_one(
    bed: Bed, enforced: KernelPost, version: int
) -> None:
    """The node puts fragments together by their addresses and number, whichever link they came by: `a` sends
    the end of a datagram of c's beforehand; when c's beginning arrives, what comes out is c's by link."""
    _, b, c = ends(bed, version)
    datagram = udp(c, b, (5, SHUT), b"from c".ljust(504) + MARK)
    before = spoofed(enforced)
    with Wire(bed, "a", "b") as evil, Wire(bed, "c") as good:
        evil.send(ip(c, b, 17, datagram[512:], fragment=64, number=99))
        good.send(ip(c, b, 17, datagram[:512], more=True, number=99))
        assert evil.arrived() == []
        until(lambda: spoofed(enforced) > before)
        # and both of c's do arrive as one
        good.send(ip(c, b, 17, datagram[:512], more=True, number=98))
        good.send(ip(c, b, 17, datagram[512:], fragment=64, number=98))
        assert len(evil.arrived(least=1)) >= 1


@pytest.mark.parametrize(
    "header", ["hop-by-hop", "destination options", "routing 0", "routing 4", "atomic fragment"]
)
def test_extension_headers_hide_no_port(bed: Bed, enforced: KernelPost, header: str) -> None:
    """IPv6 lets a sender put headers before TCP; a filter that looks at fixed offsets would see no port."""
    a, b, _ = ends(bed, 6)
    number, body = {
        "hop-by-hop": (0, struct.pack("!BBBB4x", 6, 0, 1, 4)),
        "destination options": (60, struct.pack("!BBBB4x", 6, 0, 1, 4)),
        "routing 0": (43, struct.pack("!BBBB4x", 6, 0, 0, 0)),
        "routing 4": (43, struct.pack("!BBBB4x", 6, 0, 4, 0)),
        "atomic fragment": (44, struct.pack("!BBHI", 6, 0, 0, 9)),
    }[header]
    with Wire(bed, "a", "b") as wire:
        wire.send(ip(a, b, number, body + tcp(a, b, (5000, SHUT), SYN)))
        assert wire.arrived() == []
        chain = struct.pack("!BBBB4x", number, 0, 1, 4) + body
        wire.send(ip(a, b, 60, chain + tcp(a, b, (5001, SHUT), SYN)))
        assert wire.arrived() == []


def test_a_packet_with_options_passes_where_it_may(bed: Bed, enforced: KernelPost) -> None:
    """The counterpart: what the filter lets through it has understood."""
    a, b, _ = ends(bed, 6)
    with Wire(bed, "a", "b") as wire:
        wire.send(ip(a, b, 60, struct.pack("!BBBB4x", 6, 0, 1, 4) + tcp(a, b, (5002, OPEN), SYN)))
        assert len(wire.arrived(least=1)) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_an_error_about_a_connection_of_others_is_a_forgery(
    bed: Bed, enforced: KernelPost, version: int
) -> None:
    """`related` traffic is let pass; an ICMP error that quotes a connection of `c` would be."""
    a, b, c = ends(bed, version)
    kind = 1 if version == 4 else 58
    before = spoofed(enforced)
    with bed.listen("b", SHUT) as listener, bed.make("c", version, socket.SOCK_STREAM) as client:
        client.connect((b, SHUT))
        server = echo(listener)[0]
        port = client.getsockname()[1]
        with Wire(bed, "a", "b", "c") as wire:
            for source, to, ports in ((c, b, (port, SHUT)), (b, c, (SHUT, port))):
                quoted = ip(source, to, 6, tcp(source, to, ports, ACK, b""))
                wire.send(ip(a, source, kind, unreachable(a, source, quoted)))
            assert wire.arrived() == []
        until(lambda: spoofed(enforced) >= before + 2)
        assert spoofed(enforced) == before + 2
        client.send(b"still there")
        assert readable(server)
        server.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_an_error_about_a_pods_own_connection_passes(bed: Bed, enforced: KernelPost, version: int) -> None:
    """The counterpart: `b` may tell its client `c` that a port is closed."""
    assert bed.udp("c", bed.address("b", version), 999) == "refused"


def test_a_pod_shouts_to_everybody(bed: Bed, enforced: KernelPost) -> None:
    """Broadcast and multicast reach no other pod, by whatever MAC."""
    a4, a6 = bed.pods["a"].addresses
    with Wire(bed, "a", "b", "c") as wire:
        for to, mac in (
            ("255.255.255.255", "ff:ff:ff:ff:ff:ff"),
            ("10.244.255.255", "ff:ff:ff:ff:ff:ff"),
            ("224.0.0.1", "01:00:5e:00:00:01"),
            ("224.0.0.251", "ee:ee:ee:ee:ee:ee"),
        ):
            wire.send(ip(a4, to, 17, udp(a4, to, (1, OPEN))), to=mac)
        for to in ("ff02::1", "ff05::2", "ff0e::1"):
            wire.send(ip(a6, to, 17, udp(a6, to, (1, OPEN))), to="33:33:00:00:00:01")
        assert wire.arrived() == []


def test_a_pod_announces_itself_as_router_and_as_its_neighbour(bed: Bed, enforced: KernelPost) -> None:
    """Router and unasked neighbour advertisements: the node takes no route and no neighbour from them."""
    a, b, _ = ends(bed, 6)

    def seen() -> str:
        commands = ("ip -6 route show", f"ip -6 neigh show {b}")
        return "".join(
            subprocess.run(
                ["ip", "netns", "exec", bed.node, *command.split()],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            for command in commands
        )

    before = seen()
    advertisement = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    solicited = struct.pack("!BBHI", 136, 0, 0, 0x60000000) + socket.inet_pton(socket.AF_INET6, b) + MARK
    with Wire(bed, "a", "b") as wire:
        for source in ("fe80::1", a):
            for body in (advertisement, solicited):
                packet = bytearray(ip(source, "ff02::1", 58, body))
                packet[7] = 255
                wire.send(bytes(packet), to="33:33:00:00:00:01")
        assert wire.arrived() == []
    assert seen() == before


def test_a_pod_is_a_thousand_neighbours(bed: Bed, enforced: KernelPost) -> None:
    """The node would remember each link-local address that asks for one; its table has room for 1024, for all
    links of the machine, and when it is full no neighbour on the network is found any more."""

    def known() -> int:
        command = ["ip", "netns", "exec", bed.node, "ip", "neigh", "show", "nud", "all"]
        found = subprocess.run(command, check=True, capture_output=True, text=True)
        return len(found.stdout.splitlines())

    before, gateway = known(), "fe80::ecee:eeff:feee:eeee"
    option = b"\x01\x01\x02\0\0\0\0\x01"  # the sender's own MAC
    asked = {133: bytes(4), 135: bytes(4) + socket.inet_pton(socket.AF_INET6, gateway)}
    with Wire(bed, "a") as wire:
        for number in range(200):
            source = f"fe80::1:{number:x}"
            for kind, body in asked.items():
                packet = bytearray(icmp6(source, gateway, struct.pack("!BBH", kind, 0, 0) + body + option))
                packet[7] = 255
                wire.send(bytes(packet))
            for operation in (1, 2):
                claimed = socket.inet_aton(f"10.245.0.{number}") + bytes(6) + socket.inet_aton(NODE4)
                wire.announce(struct.pack("!HHBBH", 1, 0x800, 6, 4, operation) + option[2:] + claimed)
        assert not wire.arrived()
    assert known() <= before + 1


@pytest.mark.parametrize("kind", [131, 137])
def test_a_source_route_leads_around_the_egress_program(bed: Bed, enforced: KernelPost, kind: int) -> None:
    """Where the node's administrator has allowed IPv4 source routes, `c` writes the node as the destination,
    about which its egress program is asked, and `b` as the next hop in an option."""
    _, b, c = ends(bed, 4)
    bed.in_node(lambda: namespaces.write_sysctl("ipv4/conf/all/accept_source_route", "1"))
    datagram = struct.pack("!HHHH", 1, SHUT, 8 + len(MARK), 0) + MARK  # a checksum would name one destination
    with Wire(bed, "c", "b") as wire:
        wire.send(ip(c, b, 17, datagram))
        assert len(wire.arrived(least=1)) == 1
        wire.send(ip(c, NODE4, 17, datagram, options=struct.pack("!BBB4sx", kind, 7, 4, socket.inet_aton(b))))
        assert wire.arrived() == []
    bed.in_node(lambda: namespaces.write_sysctl("ipv4/conf/all/accept_source_route", "0"))


@pytest.mark.parametrize("protocol", [2, 4, 41, 47, 50, 89, 253])
def test_a_protocol_without_ports_is_no_way_around_them(
    bed: Bed, enforced: KernelPost, protocol: int
) -> None:
    """Raw sockets: tunnels and protocols that the policy does not name, with a TCP segment inside."""
    a, b, _ = ends(bed, 4)
    inner = ip(a, b, 6, tcp(a, b, (6000, OPEN), SYN))
    with Wire(bed, "a", "b") as wire:
        wire.send(ip(a, b, protocol, inner))
        assert wire.arrived() == []


def test_a_pod_that_flushes_its_own_rules_gains_nothing(bed: Bed, enforced: KernelPost) -> None:
    """Its own tables hold the redirect to its proxy; what it may reach is decided outside of it."""
    a, b, _ = ends(bed, 4)
    inside = ["ip", "netns", "exec", bed.pods["a"].namespace]
    rules = "table inet x { chain c { type filter hook output priority 0; meta mark set 0x70000000; }; }"
    for command in (["nft", "flush", "ruleset"], ["nft", rules], ["ip", "route", "flush", "cache"]):
        subprocess.run([*inside, *command], check=True)
    with Wire(bed, "a", "b", "c") as wire:
        wire.send(ip(a, b, 6, tcp(a, b, (7000, SHUT), SYN)))
        assert wire.arrived() == []
    # through its own stack, with marks that mean something in the node
    assert bed.udp("a", b, SHUT, wait=0.3) == "silence"
    assert bed.udp("a", bed.address("c", 4), SHUT, wait=0.3) == "silence"
    subprocess.run([*inside, "nft", "flush", "ruleset"], check=True)


def test_a_process_of_the_node_marks_its_packets_as_judged(bed: Bed, enforced: KernelPost) -> None:
    """What may set marks in the node's own namespace is not judged less for that."""
    _, b, _ = ends(bed, 4)

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            made.setsockopt(socket.SOL_SOCKET, 36, 0x70000000)  # SO_MARK
            made.sendto(MARK, (b, SHUT))

    with Wire(bed, "a", "b") as wire:
        with pytest.raises(PermissionError):
            bed.in_node(send)
        assert wire.arrived() == []


def test_a_link_that_no_agent_knows_is_closed(bed: Bed, enforced: KernelPost) -> None:
    """The agent is dead, and something makes a pod's link: nothing enters and nothing leaves by it."""
    stranger = bed.add("stranger", ("10.244.0.66", "fd44::66"))
    with Wire(bed, "stranger", "a", "b", "c") as wire:
        for version in VERSIONS:
            source, b = stranger.address(version), bed.address("b", version)
            wire.send(ip(source, b, 6, tcp(source, b, (1, OPEN), SYN)))
        assert wire.arrived() == []
    with Wire(bed, "a", "stranger") as wire:
        a = bed.address("a", 4)
        wire.send(ip(a, stranger.addresses[0], 6, tcp(a, stranger.addresses[0], (1, OPEN), SYN)))
        assert wire.arrived() == []
    run_ip(f"-n {bed.node} link del {stranger.interface}")
    del bed.pods["stranger"]
