"""The kernel post against real packets: pods on one node, a neighbour outside, both IP versions."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct

import pytest
from tests.support.frames import SYN, tcp
from tests.support.kernelbed import Bed, checksum, ip, readable, until
from tests.support.wait import PATIENCE

from tsujiban.kernel.apply import KernelPost
from tsujiban.kernel.conntrack import Connection, Conntrack
from tsujiban.kernel.nflog import KernelEvent, KernelLog
from tsujiban.kernel.nft import Nft
from tsujiban.kernel.render import Settings
from tsujiban.kernel.verdicts import Letter, RuleKey
from tsujiban.policy.program import (
    Action,
    AddressSet,
    Direction,
    Icmp,
    Member,
    NodeState,
    PolicyProgram,
    PortRange,
    Ports,
    Rule,
    Side,
    Tier,
)

pytestmark = pytest.mark.system

VERSIONS = (4, 6)
SHORT = 0.2  # seconds of silence that stand for a drop; what answers on these links does so in microseconds


def ports(*numbers: int) -> Side:
    return Side(ports=Ports(ranges=tuple(PortRange(first=n, last=n) for n in numbers)))


def tier(*policies: str, default: Action = Action.DENY, name: str = "default") -> Tier:
    return Tier(
        name=name, default_action=default, default_id=f"_tier/{name}/ingress/default", policies=policies
    )


def state(bed: Bed, **policies: tuple[Rule, ...]) -> NodeState:
    """Pod a may send everything; pod b takes what `policies` say, in order."""
    made = NodeState()
    open_ = Rule(id="_profile/open/egress/0", action=Action.ALLOW)
    made.policies["_profile/open"] = PolicyProgram(
        id="_profile/open",
        egress=(open_,),
        ingress=(Rule(id="_profile/open/ingress/0", action=Action.ALLOW),),
    )
    for name, rules in policies.items():
        made.policies[name] = PolicyProgram(id=name, ingress=rules)
    made.sets["outside"] = AddressSet(
        id="outside",
        members=frozenset({Member(net="172.31.250.0/24"), Member(net=bed.address("outside", 6))}),
    )
    a = bed.pods["a"].program(profiles=("_profile/open",))
    tiers = (tier(*policies),) if policies else ()
    b = bed.pods["b"].program(ingress=tiers, profiles=("_profile/open",))
    made.endpoints.update({a.id: a, b.id: b})
    return made


_source_ports = itertools.count(10_000)


def count(bed: Bed, post: KernelPost, expected: dict[RuleKey, int], *sent: tuple[str, int], to: str) -> None:
    """Send a SYN from each of these to its port of `to`; check how many packets these rules have decided. No
    socket sends them: it would send again what is not answered within a second."""
    before = post.counts()
    for who, port in sent:
        version = 6 if ":" in to else 4
        segment = tcp(bed.address(who, version), to, (next(_source_ports), port), SYN, b"")
        with bed.make(who, version, socket.SOCK_RAW, socket.IPPROTO_TCP) as made:
            made.sendto(segment, (to, 0))

    def more() -> dict[RuleKey, int]:
        now = post.counts()
        return {key: now[key].packets - before[key].packets for key in expected}

    until(lambda: sum(more().values()) >= sum(expected.values()))
    assert more() == expected


@pytest.mark.parametrize("version", VERSIONS)
def test_first_matching_rule_decides(bed: Bed, post: KernelPost, version: int) -> None:
    rules = (
        Rule(id="p/ingress/0", action=Action.DENY, protocols=(6,), dst=ports(81)),
        Rule(id="p/ingress/1", action=Action.ALLOW, protocols=(6, 17), dst=ports(80, 81)),
        Rule(id="p/ingress/2", action=Action.ALLOW, icmp=Icmp(type=8 if version == 4 else 128)),
    )
    post.sync(state(bed, p=rules), 1)
    b = bed.address("b", version)
    assert bed.tcp("a", b, 80) == "refused"
    assert bed.tcp("a", b, 81, wait=SHORT) == "silence"
    assert bed.tcp("a", b, 82, wait=SHORT) == "silence"
    assert bed.udp("a", b, 81) == "refused"
    assert bed.udp("a", b, 82, wait=SHORT) == "silence"
    assert bed.ping("a", b) == "open"
    assert bed.tcp("outside", b, 80) == "refused"
    assert bed.tcp("outside", b, 81, wait=SHORT) == "silence"
    denied = RuleKey(Letter.DENY, Direction.INGRESS, "p/ingress/0")
    allowed = RuleKey(Letter.ALLOW, Direction.INGRESS, "p/ingress/1")
    count(bed, post, {denied: 2, allowed: 1}, ("a", 81), ("outside", 81), ("a", 80), to=b)


@pytest.mark.parametrize("version", VERSIONS)
def test_pass_leaves_the_tier(bed: Bed, post: KernelPost, version: int) -> None:
    world = state(bed)
    first = (
        Rule(id="one/ingress/0", action=Action.PASS, protocols=(6,), dst=ports(80, 81)),
        Rule(id="one/ingress/1", action=Action.ALLOW, dst=ports(82)),
    )
    world.policies["one"] = PolicyProgram(id="one", ingress=first)
    world.policies["never"] = PolicyProgram(
        id="never", ingress=(Rule(id="never/ingress/0", action=Action.DENY, dst=ports(80)),)
    )
    world.policies["two"] = PolicyProgram(
        id="two", ingress=(Rule(id="two/ingress/0", action=Action.ALLOW, dst=ports(80)),)
    )
    b = bed.pods["b"].program(ingress=(tier("one", "never", name="first"), tier("two", name="second")))
    world.endpoints[b.id] = b
    post.sync(world, 1)
    address = bed.address("b", version)
    assert bed.tcp("a", address, 80) == "refused"
    assert bed.tcp("a", address, 81, wait=SHORT) == "silence"
    assert bed.tcp("a", address, 82) == "refused"
    assert bed.tcp("a", address, 83, wait=SHORT) == "silence"
    first_default, second_default = (
        RuleKey(Letter.DENY, Direction.INGRESS, f"_tier/{tier}/ingress/default")
        for tier in ("first", "second")
    )
    count(bed, post, {second_default: 1, first_default: 1}, ("a", 81), ("a", 83), to=address)


@pytest.mark.parametrize("version", VERSIONS)
def test_sets_decide_by_source(bed: Bed, post: KernelPost, version: int) -> None:
    rules = (Rule(id="p/ingress/0", action=Action.ALLOW, src=Side(sets=("outside",))),)
    world = state(bed, p=rules)
    post.sync(world, 1)
    b = bed.address("b", version)
    assert bed.tcp("outside", b, 80) == "refused"
    assert bed.tcp("a", b, 80, wait=SHORT) == "silence"
    member = Member(net=bed.address("a", version))
    world.sets["outside"] = AddressSet(id="outside", members=frozenset({member}))
    post.sync(world, 2)
    assert bed.tcp("outside", b, 80, wait=SHORT) == "silence"
    assert bed.tcp("a", b, 80) == "refused"


@pytest.mark.parametrize("version", VERSIONS)
def test_both_ends_must_allow(bed: Bed, post: KernelPost, version: int) -> None:
    world = state(bed)
    egress = PolicyProgram(
        id="e", egress=(Rule(id="e/egress/0", action=Action.ALLOW, protocols=(6,), dst=ports(80)),)
    )
    world.policies["e"] = egress
    a = bed.pods["a"].program(egress=(tier("e"),), profiles=("_profile/open",))
    world.endpoints[a.id] = a
    post.sync(world, 1)
    assert bed.tcp("a", bed.address("b", version), 80) == "refused"
    assert bed.tcp("a", bed.address("b", version), 81, wait=SHORT) == "silence"
    assert bed.tcp("a", bed.address("outside", version), 80) == "refused"
    assert bed.tcp("a", bed.address("outside", version), 81, wait=SHORT) == "silence"
    assert bed.tcp("b", bed.address("a", version), 81) == "refused"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_node_itself(bed: Bed, post: KernelPost, version: int) -> None:
    rules = (Rule(id="p/ingress/0", action=Action.ALLOW, dst=ports(80)),)
    post.sync(state(bed, p=rules), 1)
    assert bed.tcp("node", bed.address("b", version), 80) == "refused"
    assert bed.tcp("node", bed.address("b", version), 81, wait=SHORT) == "silence"
    assert bed.tcp("a", bed.address("node", version), 80, wait=SHORT) == "silence"
    assert bed.ping("a", bed.address("node", version), wait=SHORT) == "silence"
    assert bed.tcp("outside", bed.address("node", version), 80) == "refused"
    denied = RuleKey(Letter.DENY, Direction.EGRESS, "_kernel/node")
    count(bed, post, {denied: 2}, ("a", 80), ("a", 81), to=bed.address("node", version))


@pytest.mark.parametrize("version", VERSIONS)
def test_unknown_interface_is_dropped(bed: Bed, post: KernelPost, version: int) -> None:
    world = state(bed)
    del world.endpoints["default/b"]
    post.sync(world, 1)
    assert bed.tcp("a", bed.address("b", version), 80, wait=SHORT) == "silence"
    assert bed.tcp("b", bed.address("a", version), 80, wait=SHORT) == "silence"
    assert bed.tcp("outside", bed.address("b", version), 80, wait=SHORT) == "silence"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pod_cannot_lie_about_its_address(bed: Bed, post: KernelPost, version: int) -> None:
    post.sync(state(bed), 1)
    lie = "10.244.0.99" if version == 4 else "fd44::99"
    family = socket.AF_INET if version == 4 else socket.AF_INET6

    ip(f"-n {bed.pods['a'].namespace} addr add {lie} dev lo {'' if version == 4 else 'nodad'}")

    def send() -> None:
        with socket.socket(family, socket.SOCK_DGRAM) as made:
            made.bind((lie, 0))
            made.sendto(b"?", (bed.address("b", version), 80))

    bed.inside("a", send)
    spoofed = RuleKey(Letter.DENY, Direction.EGRESS, "_kernel/spoofed")
    until(lambda: post.counts()[spoofed].packets >= 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_revoked_connection_ends_and_no_other(bed: Bed, post: KernelPost, version: int) -> None:
    allow = Rule(id="p/ingress/0", action=Action.ALLOW, protocols=(6,), dst=ports(80, 81))
    post.sync(state(bed, p=(allow,)), 1)
    ends = []
    for port in (80, 81):
        listener = bed.listen("b", port)
        client = bed.make("a", version, socket.SOCK_STREAM)
        client.connect((bed.address("b", version), port))
        listener.settimeout(PATIENCE)
        server, _ = listener.accept()
        listener.close()
        ends.append((client, server))
    deny = Rule(id="p/ingress/0", action=Action.ALLOW, protocols=(6,), dst=ports(81))
    post.sync(state(bed, p=(deny,)), 2)

    def denied(connection: Connection) -> str | None:
        return None if connection.destination_port != 80 else "_tier/default/ingress/default"

    conntrack = bed.in_node(Conntrack)
    ended = conntrack.end_denied({bed.address("b", version)}, denied)
    conntrack.close()
    assert [(end.connection.source, end.connection.destination_port, end.rule) for end in ended] == [
        (bed.address("a", version), 80, "_tier/default/ingress/default")
    ]
    for client, server in ends:
        client.send(b"from the client")
        server.send(b"from the server")
    revoked, kept = ends
    assert readable(kept[1])
    assert readable(kept[0])
    assert not readable(revoked[1], SHORT)
    assert not readable(revoked[0], SHORT)
    for pair in ends:
        for end in pair:
            # by a reset: what is not acknowledged would be sent again, and counted by another test
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_an_address_that_changes_hands_takes_no_connection_along(
    bed: Bed, post: KernelPost, version: int
) -> None:
    world = state(bed)
    post.sync(world, 1)
    with (
        bed.make("b", version, socket.SOCK_DGRAM) as server,
        bed.make("a", version, socket.SOCK_DGRAM) as client,
    ):
        server.bind((bed.address("b", version), 8080))
        client.connect((bed.address("b", version), 8080))
        client.send(b"?")
        assert server.recv(10) == b"?"
        source = client.getsockname()[1]
    del world.endpoints["default/a"]
    ended = post.sync(world, 2).ended
    assert [(e.connection.source, e.connection.source_port, e.rule) for e in ended] == [
        (bed.address("a", version), source, "_kernel/unknown-interface")
    ]


def test_a_restarted_agent_finds_everything_in_place(bed: Bed, post: KernelPost) -> None:
    world = state(bed, p=(Rule(id="p/ingress/0", action=Action.ALLOW, dst=ports(80)),))
    post.sync(world, 1)
    listener = bed.listen("b", 80)
    client = bed.make("a", 4, socket.SOCK_STREAM)
    client.connect((bed.address("b", 4), 80))
    listener.settimeout(PATIENCE)
    server, _ = listener.accept()
    before = post.counts()
    post.close()

    settings = Settings(dns_addresses=("10.96.0.10",))
    second = bed.in_node(lambda: KernelPost(settings, Nft()))
    applied = second.sync(world, 2)
    assert not applied.rebuilt
    key = RuleKey(Letter.ALLOW, Direction.INGRESS, "p/ingress/0")
    assert second.counts()[key] == before[key]
    client.send(b"still there")
    assert readable(server)
    for made in (listener, client, server):
        made.close()
    second.close()


@pytest.mark.parametrize(
    "damage",
    [
        "flush chain inet tsujiban egress",
        "insert rule inet tsujiban postrouting accept",
        "delete element inet tsujiban ingress-programs {{ {b} }}",
        "add chain inet tsujiban mine {{ type filter hook forward priority -50; policy accept; }}",
        "replace rule inet tsujiban postrouting handle {handle} accept comment {mark}",
        "add table inet tsujiban {{ flags dormant; }}",
        "delete table inet tsujiban",
        "delete table inet tsujiban-services",
    ],
)
def test_damage_is_found_and_repaired(bed: Bed, post: KernelPost, damage: str) -> None:
    rules = (Rule(id="p/ingress/0", action=Action.ALLOW, dst=ports(80)),)
    post.sync(state(bed, p=rules), 1)
    foreign = bed.in_node(Nft)
    foreign.run("add table inet foreign\nadd chain inet foreign kept")
    assert post.verify() == ()
    rule = next(e["rule"] for e in foreign.listing("list chain inet tsujiban postrouting") if "rule" in e)
    interface = f'"{bed.pods["b"].interface}"'
    foreign.run(damage.format(b=interface, handle=rule["handle"], mark=f'"{rule["comment"]}"'))
    assert post.verify() != ()
    assert post.verify() == ()
    assert bed.tcp("a", bed.address("b", 4), 80) == "refused"
    assert bed.tcp("a", bed.address("b", 4), 81, wait=SHORT) == "silence"
    assert foreign.listing("list table inet foreign")
    foreign.run("delete table inet foreign")
    foreign.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_log_names_the_rule(bed: Bed, post: KernelPost, version: int) -> None:
    long = "default/" + "x" * 253 + "/ingress/1"
    rules = (
        Rule(id="p/ingress/0", action=Action.ALLOW, protocols=(6,), dst=ports(80)),
        Rule(id=long, action=Action.DENY, protocols=(17,)),
    )
    post.sync(state(bed, p=rules), 1)
    b = bed.address("b", version)

    async def read() -> list[KernelEvent]:
        log = await asyncio.to_thread(lambda: bed.in_node(lambda: KernelLog(5, post.owners, post.long_ids)))
        try:
            assert await asyncio.to_thread(bed.tcp, "a", b, 80) == "refused"
            assert await asyncio.to_thread(bed.udp, "a", b, 53, wait=SHORT) == "silence"
            found = []
            async with asyncio.timeout(PATIENCE):
                async for event in log.events():
                    found.append(event)
                    if len(found) == 4:
                        return found
            return found
        finally:
            log.close()

    events = asyncio.run(read())
    seen = [(e.verdict, e.direction, e.rule, e.packet.protocol, e.packet.destination_port) for e in events]
    assert seen == [
        (Action.ALLOW, Direction.EGRESS, "_profile/open/egress/0", 6, 80),
        (Action.ALLOW, Direction.INGRESS, "p/ingress/0", 6, 80),
        (Action.ALLOW, Direction.EGRESS, "_profile/open/egress/0", 17, 53),
        (Action.DENY, Direction.INGRESS, long, 17, 53),
    ]
    assert {(e.packet.source, e.packet.destination) for e in events} == {(bed.address("a", version), b)}


def test_only_a_syn_opens_a_connection(bed: Bed, post: KernelPost) -> None:
    """Neither a probe with an ACK, nor the rest of a connection whose entry was taken away."""
    post.sync(state(bed), 1)
    for flags in (0x10, 0x11, 0x04, 0x12, 0x29, 0x00):
        header = struct.pack("!HHIIBBHHH", 40000, 80, 1, 1, 5 << 4, flags, 1000, 0, 0)
        pseudo = socket.inet_aton(bed.address("a", 4)) + socket.inet_aton(bed.address("b", 4))
        total = checksum(pseudo + struct.pack("!HH", 6, len(header)) + header)
        with bed.make("a", 4, socket.SOCK_RAW, 6) as made:
            made.sendto(header[:16] + struct.pack("!H", total) + header[18:], (bed.address("b", 4), 0))

    def refused() -> int:
        counts = post.counts()
        names = ("_kernel/not-opened", "_kernel/invalid")
        return sum(counts[RuleKey(Letter.DENY, Direction.EGRESS, rule)].packets for rule in names)

    until(lambda: refused() >= 6)
    assert refused() == 6
    assert bed.tcp("a", bed.address("b", 4), 80) == "refused"
