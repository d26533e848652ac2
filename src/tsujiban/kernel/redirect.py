"""In a pod's namespace: the application's TCP goes to the sidecar, in both directions.

Nothing here asks whether the sidecar lives. When it does not, redirected connections are
refused by the pod's own kernel: nothing passes in the clear. UDP and ICMP are left to the
node's policy table.

    output      the proxy's own, and what stays on loopback, goes its way; other TCP → outbound
    prerouting  TCP from outside → inbound, whatever port it was for
    guards      the proxy's ports cannot be addressed: not from outside, and not by the
                application, only by being redirected there; and nobody else answers there, should
                the application have bound one while the proxy was being started again
    input       when the proxy is to get no new connection, it is refused
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from tsujiban.kernel.elements import canonical, number_elements
from tsujiban.kernel.keeper import Change, TableKeeper
from tsujiban.kernel.nft import Nft
from tsujiban.kernel.sets import ADDRESS
from tsujiban.kernel.table import Chain, Hook, Set, Table
from tsujiban.supervise.netns import call_in

TABLE = "tsujiban-redirect"

_MANGLE, _DSTNAT, _FILTER = -150, -100, 0


@dataclass(frozen=True)
class Redirect:
    """How one pod's traffic is led. Excluded ports and addresses bypass the proxy, in the clear.

    The proxy's packets are known by its user, or by its mark: give one of them."""

    proxy_uid: int = 0
    proxy_mark: int = 0
    outbound_port: int = 15001
    inbound_port: int = 15006
    health_port: int = 15021  # on loopback only
    excluded_outbound_ports: tuple[int, ...] = ()
    excluded_inbound_ports: tuple[int, ...] = ()
    excluded_addresses: tuple[str, ...] = ()  # destinations
    full: bool = False  # the proxy is to get no new connection: it is refused


def render(redirect: Redirect) -> Table:
    """The table of a pod's namespace. Pure. Raises ValueError for an address that is none, and for a
    proxy that is known by nothing."""
    table = Table(TABLE)
    own, foreign = _whose(redirect)
    led = number_elements((port, port) for port in (redirect.outbound_port, redirect.inbound_port))
    health = number_elements([(redirect.health_port, redirect.health_port)])
    table.add(Set("proxy-ports", "inet_service", led, interval=True))
    table.add(Set("own-ports", "inet_service", led | health, interval=True))
    table.add(_ports("excluded-outbound", redirect.excluded_outbound_ports))
    table.add(_ports("excluded-inbound", redirect.excluded_inbound_ports))
    addresses = [canonical(address) for address in redirect.excluded_addresses]
    for version in (4, 6):
        of_version = {address: "" for address in addresses if (":" in address) == (version == 6)}
        table.add(Set(f"excluded{version}", ADDRESS[version], of_version))
    _base(
        table,
        Hook("filter", "prerouting", _MANGLE),
        'iifname != "lo" meta l4proto 6 th dport @own-ports counter drop',
    )
    _base(
        table,
        Hook("nat", "prerouting", _DSTNAT),
        'iifname "lo" return',
        "meta l4proto 6 th dport @excluded-inbound return",
        f"meta l4proto 6 counter redirect to :{redirect.inbound_port:d}",
    )
    _base(
        table,
        Hook("nat", "output", _DSTNAT),
        f"{own} return",
        'oifname "lo" return',
        "meta l4proto 6 th dport @excluded-outbound return",
        "meta l4proto 6 ip daddr @excluded4 return",
        "meta l4proto 6 ip6 daddr @excluded6 return",
        f"meta l4proto 6 counter redirect to :{redirect.outbound_port:d}",
    )
    if redirect.full:
        refuse = "meta l4proto 6 th dport @proxy-ports ct state new counter reject with tcp reset"
        _base(table, Hook("filter", "input", _FILTER), refuse)
    _base(
        table,
        Hook("filter", "output", _FILTER),
        f'oifname "lo" {foreign} meta l4proto 6 th dport @proxy-ports '
        "ct status & dnat == 0 counter reject with tcp reset",
        f"{foreign} meta l4proto 6 th sport @proxy-ports counter drop",
    )
    return table


def _whose(redirect: Redirect) -> tuple[str, str]:
    """Expressions for a packet of the proxy's, and for one of another socket's.

    Neither holds for what no socket sends: a reset says that nobody listens, and must be heard."""
    if bool(redirect.proxy_uid) == bool(redirect.proxy_mark):
        raise ValueError("a redirect needs the proxy's user or its mark, and not both")
    if redirect.proxy_uid:
        return f"meta skuid {redirect.proxy_uid:d}", f"meta skuid != {redirect.proxy_uid:d}"
    return (
        f"meta mark {redirect.proxy_mark:#x}",
        f"meta mark != {redirect.proxy_mark:#x} meta skuid 0-4294967294",
    )


def _ports(name: str, ports: tuple[int, ...]) -> Set:
    return Set(name, "inet_service", number_elements((port, port) for port in ports), interval=True)


def _base(table: Table, hook: Hook, *rules: str) -> None:
    table.add(Chain(f"{hook.hook}-{hook.type}", rules, hook))


def apply(namespace: str, redirect: Redirect) -> Change:
    """Put the redirect of the pod whose network namespace is at path `namespace` into force.

    Atomic, and nothing when it is in force already. Raises OSError, NftError. Blocks.
    """
    table = render(redirect)

    def work() -> Change:
        with Nft() as nft, closing(TableKeeper(nft, TABLE)) as keeper:
            return keeper.apply(table)

    return call_in(namespace, work)


def remove(namespace: str) -> None:
    """Take the redirect of the pod whose network namespace is at path `namespace` away, if it is there.

    Raises OSError, NftError. Blocks."""

    def work() -> None:
        with Nft() as nft:
            TableKeeper(nft, TABLE).remove()

    call_in(namespace, work)
