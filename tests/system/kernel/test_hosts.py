"""Host endpoints on real packets: what is denied, what can never be locked out, what ends."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.support.kernelbed import NODE4, NODE6, OUTSIDE4, OUTSIDE6, Bed, echo, ip, readable
from tests.support.wait import PATIENCE

from tsujiban.kernel.apply import KernelPost
from tsujiban.kernel.conntrack import Conntrack
from tsujiban.policy.failsafes import Failsafe, Failsafes
from tsujiban.policy.program import (
    Action,
    EndpointProgram,
    NodeState,
    PolicyProgram,
    PortRange,
    Ports,
    Rule,
    Side,
    Tier,
)

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

SAFE, OPEN, SHUT = 2222, 8080, 9090


def tiers(direction: str, *policies: str) -> tuple[Tier, ...]:
    default = f"_tier/t/{direction}/default"
    return (Tier(name="t", default_action=Action.DENY, default_id=default, policies=policies),)


def opens(policy: str, direction: str, *ports: int) -> tuple[Rule, ...]:
    ranges = tuple(PortRange(first=port, last=port) for port in ports)
    dst = Side(ports=Ports(ranges=ranges))
    return (Rule(id=f"{policy}/{direction}/0", action=Action.ALLOW, protocols=(6,), dst=dst),)


def state(interface: str, *, egress: bool = False, **kinds: bool) -> NodeState:
    """A node whose endpoint lets OPEN in, and nothing else."""
    made = NodeState()
    made.policies["p"] = PolicyProgram(id="p", ingress=opens("p", "ingress", OPEN), **kinds)  # type: ignore[arg-type]
    made.policies["q"] = PolicyProgram(id="q", egress=opens("q", "egress", OPEN))
    made.policies["all"] = PolicyProgram(
        id="all",
        ingress=(Rule(id="all/ingress/0", action=Action.ALLOW),),
        egress=(Rule(id="all/egress/0", action=Action.ALLOW),),
    )
    made.endpoints["host/n"] = EndpointProgram(
        id="host/n",
        node="node-1",
        host=True,
        interface=interface,
        addresses=(NODE4, NODE6),
        ingress=tiers("ingress", "p"),
        egress=tiers("egress", "q") if egress else (),
        profiles=() if egress else ("all",),
    )
    return made


@pytest.fixture
def enforce(post: KernelPost) -> Callable[..., None]:
    safe = (Failsafe(6, SAFE),)

    def sync(found: NodeState, *, reject: bool = False) -> None:
        post.settings = replace(post.settings, failsafes=Failsafes(safe, safe), reject=reject)
        assert post.sync(found, 1).problems == ()
        assert post.verify(thorough=True) == ()

    return sync


@pytest.mark.parametrize("interface", ["eth0", "*", ""])
@pytest.mark.parametrize("address", [NODE4, NODE6])
def test_policy_decides_and_failsafe_ports_stay_open(
    bed: Bed, enforce: Callable[..., None], interface: str, address: str
) -> None:
    enforce(state(interface))
    listeners = [bed.listen("node", port) for port in (SAFE, OPEN, SHUT)]
    assert bed.tcp("outside", address, OPEN) == "open"
    assert bed.tcp("outside", address, SHUT, wait=0.4) == "silence"
    assert bed.tcp("outside", address, SAFE) == "open"
    assert bed.tcp("node", address, SHUT) == "open"  # loopback is the node's own business
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize("kind", ["", "apply_on_forward", "pre_dnat", "do_not_track"])
def test_nothing_that_a_deny_all_of_any_kind_can_do_locks_the_node_out(
    bed: Bed, enforce: Callable[..., None], kind: str
) -> None:
    found = state("*", egress=True)
    rule = Rule(id="no/ingress/0", action=Action.DENY)
    flags = {flag: True for flag in ("apply_on_forward", kind) if kind}
    found.policies["p"] = PolicyProgram(id="p", ingress=(rule,), egress=(rule,), **flags)  # type: ignore[arg-type]
    found.policies["q"] = found.policies["p"]
    enforce(found)
    inside, outside = bed.listen("node", SAFE), bed.listen("outside", SAFE)
    for namespace in (bed.node, bed.outside):  # who has forgotten its neighbour must be able to find it
        ip(f"-n {namespace} -6 neigh flush dev eth0")
    assert bed.tcp("outside", NODE4, SAFE) == "open"
    assert bed.tcp("outside", NODE6, SAFE) == "open"
    assert bed.tcp("node", OUTSIDE4, SAFE) == "open"
    assert bed.tcp("node", OUTSIDE6, SAFE) == "open"
    assert bed.tcp("node", OUTSIDE4, SHUT, wait=0.4) in ("silence", "EPERM")
    inside.close()
    outside.close()


def test_a_set_that_is_missing_closes_and_does_not_lock_out(bed: Bed, enforce: Callable[..., None]) -> None:
    found = state("eth0")
    del found.policies["p"]
    with pytest.raises(AssertionError):
        enforce(found)  # the problem is told
    listener, safe = bed.listen("node", OPEN), bed.listen("node", SAFE)
    assert bed.tcp("outside", NODE4, OPEN, wait=0.4) == "silence"
    assert bed.tcp("outside", NODE4, SAFE) == "open"
    listener.close()
    safe.close()


def test_a_denial_is_answered_where_that_is_asked_for(bed: Bed, enforce: Callable[..., None]) -> None:
    pod = bed.pods["a"]
    found = state("eth0")
    found.endpoints["default/a"] = pod.program(ingress=tiers("ingress", "p"), egress=tiers("egress", "q"))
    found.policies["p"] = PolicyProgram(id="p", ingress=opens("p", "ingress", OPEN))
    enforce(found, reject=True)
    for who, address in (
        ("outside", NODE4),
        ("outside", NODE6),
        ("outside", pod.addresses[0]),
        ("outside", pod.addresses[1]),
        ("node", pod.addresses[0]),
        ("a", OUTSIDE4),
    ):
        assert bed.tcp(who, address, SHUT) == "refused", (who, address)
    with bed.make("outside", 4, socket.SOCK_DGRAM) as made:
        made.connect((NODE4, SHUT))
        made.send(b"?")
        made.settimeout(PATIENCE)
        with pytest.raises(OSError, match=r"No route|unreachable|refused"):  # administratively prohibited
            made.recv(1)


def test_what_a_host_endpoint_no_longer_allows_ends(bed: Bed, enforce: Callable[..., None]) -> None:
    enforce(state("eth0"))
    conntrack = bed.in_node(Conntrack)
    with bed.listen("node", OPEN) as listener, bed.make("outside", 4, socket.SOCK_STREAM) as client:
        client.connect((NODE4, OPEN))
        server = echo(listener)[0]
        client.send(b"1")
        assert server.recv(1) == b"1"
        closed = state("eth0")
        closed.policies["p"] = PolicyProgram(id="p")
        enforce(closed)
        ended = conntrack.end_denied(None, lambda one: "x" if one.destination_port == OPEN else None)
        assert [one.connection.destination for one in ended] == [NODE4]
        client.send(b"2")
        server.send(b"3")  # and it cannot be opened anew from its other end
        assert not readable(server, 0.5)
        assert not readable(client, 0.2)
        server.close()
    conntrack.close()


def test_an_endpoint_of_an_address_follows_it(bed: Bed, post: KernelPost) -> None:
    post.sync(state(""), 1)
    assert not post.stale()
    assert post.host_of(NODE4) == "host/n"

    ip(f"-n {bed.node} addr add 172.31.250.77/24 dev eth0")
    assert post.stale()
    post.sync(state(""), 2)
    assert not post.stale()
    assert post.host_of("172.31.250.77") == "host/n"
    ip(f"-n {bed.node} addr del 172.31.250.77/24 dev eth0")
