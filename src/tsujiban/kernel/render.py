"""A node's state as its policy table: where packets enter it, and who is asked.

    prerouting, first  from a pod: only from its own addresses and MAC, fragment by fragment: what the kernel
                       puts together is one packet of whoever sent the last piece of it
    forward            from a pod: its egress program; then host endpoints; to a pod: its ingress program
    input              from a pod to the node: DNS as far as its egress program lets it, nothing else
    output             from the node to a pod: its ingress program, found by the pod's address
    postrouting        to a pod: only what was judged

By address in output, because a packet of the node's that was for a service address still names its
old interface there. Addresses are already translated in forward and output, and sources not yet.

Whatever enters or leaves by an interface with the prefix of pod links is decided here, known
or not: an interface that the verdict maps do not hold is dropped, also while no agent runs.
Everything else on the machine passes untouched, unless a host endpoint stands there (`hosts`).

Established connections go first. A revoked one is ended by taking its conntrack entry away
(`conntrack.py`); its next packet is then neither established nor, since only a SYN opens a TCP
connection here, able to begin anew from whichever end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from tsujiban.kernel import names
from tsujiban.kernel.elements import canonical
from tsujiban.kernel.follow import Basis
from tsujiban.kernel.hosts import HostChains, Placed, place
from tsujiban.kernel.names import LINK_PREFIX
from tsujiban.kernel.policies import PolicyChains, PolicyMemory, of_pod
from tsujiban.kernel.room import CROWDED
from tsujiban.kernel.sets import ADDRESS, SetMemory, TableSets
from tsujiban.kernel.table import Chain, Hook, Set, Table
from tsujiban.kernel.verdicts import (
    CLEAR,
    JUDGED,
    TEST_JUDGED,
    Letter,
    Logging,
    RuleKey,
    Station,
    Verdicts,
    Where,
)
from tsujiban.policy.failsafes import Failsafes
from tsujiban.policy.program import Direction, EndpointProgram, NodeState

TABLE = "tsujiban"

# Rule ids of what no policy decides.
SPOOFED = "_kernel/spoofed"
UNKNOWN = "_kernel/unknown-interface"
NODE = "_kernel/node"
INVALID = "_kernel/invalid"
NOT_OPENED = "_kernel/not-opened"  # TCP in the middle of a connection that conntrack does not know

# The sets that say who has which address; an address is the last part of each key.
SOURCES = ("source4", "source-mac4", "source6", "source-mac6")

_BEFORE_DEFRAGMENTATION, _FILTER = -450, 0
_MOST_LINKS = 4096  # of a node

# What kernels say on every link by themselves (multicast reports): of no use here, and not news.
_HOUSEKEEPING4, _HOUSEKEEPING6 = "ip daddr 224.0.0.0/24 drop", "ip6 daddr ff02::/16 drop"


@dataclass(frozen=True)
class Settings:
    """What the kernel post has to know beside the program."""

    dns_addresses: tuple[str, ...] = ()  # of the node: all that a pod may reach there, port 53
    # (address, port) of the cluster's API outside the pods' networks: pods go there under the node's address
    api_endpoints: tuple[tuple[str, int], ...] = ()
    api_connections: int = 256  # that one pod may hold to these, which share the ports of the node's address
    logging: Logging = field(default_factory=Logging)
    failsafes: Failsafes = field(default_factory=Failsafes)  # of host endpoints
    reject: bool = False  # denied packets are answered (RST, ICMP), not just dropped


@dataclass(frozen=True)
class Rendered:
    """The table, and what its names stand for."""

    table: Table
    keys: dict[str, RuleKey]  # by counter name
    long_ids: dict[str, str]  # rule ids by their stand-in in log prefixes
    interfaces: dict[str, str]  # ids of pods' endpoints by interface
    addresses: dict[str, str]  # the same by address
    hosts: Placed
    problems: tuple[str, ...] = ()


class Memory:
    """What makes the next rendering cost in proportion to what changed."""

    def __init__(self) -> None:
        self.sets = SetMemory()
        self.policies = PolicyMemory()
        self.last: tuple[Rendered, Basis] | None = None

    def forget(self, state: NodeState) -> None:
        """Drop what `state` no longer holds."""
        self.sets.forget(state)
        self.policies.forget(state.policies)


def render(
    state: NodeState,
    settings: Settings,
    memory: Memory | None = None,
    own: Mapping[str, str] | None = None,
) -> Rendered:
    """The policy table of a node. Pure; `memory` makes the next rendering cheaper.

    `own` are the node's interfaces by their addresses, for host endpoints that name none.
    """
    memory = memory or Memory()
    given = (settings, dict(own or {}))
    last, memory.last = memory.last, None
    followed = last[1].follow(last[0].table, state, given, memory.sets) if last is not None else None
    if last is not None and followed is not None:
        memory.last = replace(last[0], table=followed[0]), followed[1]
        return memory.last[0]
    table = Table(TABLE)
    memory.forget(state)
    verdicts = Verdicts(table, settings.logging)
    sets = TableSets(state, table, memory.sets)
    chains = PolicyChains(state, table, sets, verdicts, memory.policies)
    problems: list[str] = []
    endpoints: dict[str, EndpointProgram] = {}
    for endpoint in state.endpoints.values():
        problem = None if endpoint.host else _unusable(endpoint, endpoints)
        if problem:
            problems.append(f"endpoint {endpoint.id}: {problem}: it is cut off")
        elif endpoint.interface and not endpoint.host:
            endpoints[endpoint.interface] = endpoint
    placed = place((one for one in state.endpoints.values() if one.host), own or {})
    _sources(table, verdicts, endpoints)
    _related(table, verdicts, endpoints)
    _programs(table, verdicts, chains, endpoints, settings)
    _node(table, verdicts, settings)
    HostChains(
        table,
        chains,
        placed,
        state.policies,
        failsafes=settings.failsafes,
        workloads=LINK_PREFIX,
        opening={station: _opening(verdicts, station) for station in Station} if placed.all() else {},
        reject=settings.reject,
    ).add()
    memory.policies.sweep(table)
    made = Rendered(
        table=table,
        keys=verdicts.keys,
        long_ids=verdicts.long_ids,
        interfaces={interface: endpoint.id for interface, endpoint in endpoints.items()},
        addresses={canonical(a): endpoint.id for endpoint in endpoints.values() for a in endpoint.addresses},
        hosts=placed,
        problems=(*problems, *placed.problems, *chains.problems),
    )
    memory.last = made, Basis.of(state, given, chains.in_runs, memory.policies.all_simple())
    return made


def _unusable(endpoint: EndpointProgram, others: dict[str, EndpointProgram]) -> str | None:
    if not endpoint.interface:
        return None  # not here yet
    try:
        names.interface(endpoint.interface)
        if endpoint.mac:
            names.mac(endpoint.mac)
        for address in endpoint.addresses:
            canonical(address)
    except ValueError as error:
        return str(error)
    if not endpoint.interface.startswith(LINK_PREFIX):
        return f"interface {endpoint.interface} does not begin with {LINK_PREFIX}"
    if endpoint.interface in others:
        return f"interface {endpoint.interface} is {others[endpoint.interface].id}'s"
    return None


# An ICMP error may be about any connection, so a pod's must be about one of its own.
_OWN_CONNECTIONS = ("ct state established accept", "ct state related goto related")


def _related(table: Table, verdicts: Verdicts, endpoints: dict[str, EndpointProgram]) -> None:
    """What a pod sends about a connection that there is: one end of that must be the pod."""
    rules = []
    for version, ip in ((4, "ip"), (6, "ip6")):
        every = (canonical(a) for endpoint in endpoints.values() for a in endpoint.addresses)
        pairs = {f"{a} . {a}": "" for a in every if (":" in a) == (version == 6)}
        name = table.add(Set(f"same{version}", f"{ADDRESS[version]} . {ADDRESS[version]}", pairs))
        for end in ("original", "reply"):
            rules.append(f"{ip} saddr . ct {end} {ip} saddr @{name} accept")
    rules.append(verdicts.goto(Letter.DENY, Direction.EGRESS, SPOOFED))
    table.add(Chain("related", tuple(rules)))


def _base(table: Table, name: str, hook: str, priority: int, *rules: str) -> None:
    table.add(Chain(name, rules, Hook("filter", hook, priority)))


def _sources(table: Table, verdicts: Verdicts, endpoints: dict[str, EndpointProgram]) -> None:
    """Anti-spoofing. What a pod's kernel says for neighbour discovery from a link-local or no address is no
    news, and of no use: both ends of a link know each other. It is not let in, for the node would remember a
    neighbour for each address that says so, and all links of the machine share room for 1024."""
    rules = []
    for version, ip in ((4, "ip"), (6, "ip6")):
        plain: dict[str, str] = {}
        with_mac: dict[str, str] = {}
        for interface, endpoint in endpoints.items():
            for address in map(canonical, endpoint.addresses):
                if (":" in address) != (version == 6):
                    continue
                if endpoint.mac:
                    with_mac[f"{interface} . {names.mac(endpoint.mac)} . {address}"] = ""
                else:
                    plain[f"{interface} . {address}"] = ""
        of = ADDRESS[version]
        table.add(Set(f"source{version}", f"ifname . {of}", plain))
        table.add(Set(f"source-mac{version}", f"ifname . ether_addr . {of}", with_mac))
        rules.append(f"iifname . ether saddr . {ip} saddr @source-mac{version} accept")
        rules.append(f"iifname . {ip} saddr @source{version} accept")
    rules += (f"ip6 saddr {source} {rule}" for source in ("fe80::/10", "::") for rule in _neighbours("drop"))
    rules.append(verdicts.goto(Letter.DENY, Direction.EGRESS, SPOOFED))
    table.add(Chain("sources", tuple(rules)))
    _base(
        table, "prerouting", "prerouting", _BEFORE_DEFRAGMENTATION, f'iifname "{LINK_PREFIX}*" goto sources'
    )


def _neighbours(verdict: str) -> tuple[str, ...]:
    """Router solicitation, neighbour solicitation and advertisement; never router advertisement."""
    return tuple(
        f"ip6 hoplimit 255 meta l4proto 58 @th,0,8 {types} {verdict}" for types in ("133", "135-136")
    )


def _opening(verdicts: Verdicts, direction: Where) -> tuple[str, ...]:
    """What comes before any program: only what opens a connection goes on to it."""
    invalid = verdicts.count(RuleKey(Letter.DENY, direction, INVALID))
    middle = verdicts.count(RuleKey(Letter.DENY, direction, NOT_OPENED))
    own = direction is Direction.EGRESS
    return (
        *(_OWN_CONNECTIONS if own else ("ct state established,related accept",)),
        # conntrack finds every UDP-Lite checksum wrong (it takes UDP's pseudo-header): judged one by one
        f"ct state invalid meta l4proto != 136 {invalid} drop",
        f"meta l4proto 6 tcp flags & (fin | syn | rst | ack) != syn {middle} drop",
        CLEAR,
    )


def _programs(
    table: Table,
    verdicts: Verdicts,
    chains: PolicyChains,
    endpoints: dict[str, EndpointProgram],
    settings: Settings,
) -> None:
    itself = {f"{interface} . {interface}": "" for interface in endpoints}
    table.add(Set("itself", "ifname . ifname", itself))
    for direction, side in ((Direction.EGRESS, "iifname"), (Direction.INGRESS, "oifname")):
        elements = {
            interface: f"jump {chains.endpoint(endpoint, of_pod(endpoint, direction, settings.reject))}"
            for interface, endpoint in endpoints.items()
        }
        programs = table.add(Set(f"{direction}-programs", "ifname", elements, data="verdict"))
        rules = (
            *_opening(verdicts, direction),
            *(_to_api(table, verdicts, settings) if direction is Direction.EGRESS else ()),
            "iifname . oifname @itself accept",  # a pod that a service address leads back to itself
            f"{side} vmap @{programs}",
            verdicts.goto(Letter.DENY, direction, UNKNOWN),
        )
        table.add(Chain(str(direction), rules))
    _base(table, "forward", "forward", _FILTER, f'iifname "{LINK_PREFIX}*" goto egress')
    _base(table, "forward-to-pod", "forward", _FILTER + 3, f'oifname "{LINK_PREFIX}*" goto to-pod')
    by_address = []
    for version, ip in ((4, "ip"), (6, "ip6")):
        programs_of = {
            address: elements[endpoint.interface]
            for endpoint in endpoints.values()
            for address in map(canonical, endpoint.addresses)
            if (":" in address) == (version == 6)
        }
        table.add(Set(f"pods{version}", ADDRESS[version], dict.fromkeys(programs_of, "")))
        name = table.add(Set(f"ingress-addresses{version}", ADDRESS[version], programs_of, data="verdict"))
        by_address.append(f"{ip} daddr vmap @{name}")
    table.add(Chain("node-to-pod", (JUDGED, *_errors(), *_opening(verdicts, Direction.INGRESS), *by_address)))
    to_pods = tuple(f"{ip} daddr @pods{version} goto node-to-pod" for version, ip in ((4, "ip"), (6, "ip6")))
    _base(table, "output", "output", _FILTER + 1, *to_pods)


def _to_api(table: Table, verdicts: Verdicts, settings: Settings) -> Iterator[str]:
    """A pod's share of the ports that the node's address has for connections to the API."""
    for version, ip in ((4, "ip"), (6, "ip6")):
        at = {f"{canonical(address)} . {port:d}": "" for address, port in settings.api_endpoints}
        of_version = {one: "" for one in at if (":" in one) == (version == 6)}
        if of_version:
            api = table.add(Set(f"api{version}", f"{ADDRESS[version]} . inet_service", of_version))
            held = table.add(Set(f"to-api{version}", "ifname", size=_MOST_LINKS))
            count = f"add @{held} {{ iifname ct count over {settings.api_connections:d} }}"
            refuse = verdicts.goto(Letter.DENY, Direction.EGRESS, CROWDED)
            yield f"meta l4proto 6 {ip} daddr . th dport @{api} {count} {refuse}"


def _errors() -> tuple[str, ...]:
    """Refusals by the node (a reject, a packet too big) may be about what conntrack does not hold yet."""
    errors = ("meta l4proto 1 @th,0,8 3", "meta l4proto 58 @th,0,8 1-2")
    return tuple(f"{error} fib saddr type local accept" for error in errors)


def _node(table: Table, verdicts: Verdicts, settings: Settings) -> None:
    dns = [
        f"{'ip6' if ':' in address else 'ip'} daddr {address} meta l4proto {protocol} th dport 53 goto egress"
        for address in map(canonical, settings.dns_addresses)
        for protocol in (6, 17)
    ]
    to_node = (
        *_OWN_CONNECTIONS,
        *_neighbours("accept"),
        *dns,
        verdicts.goto(Letter.DENY, Direction.EGRESS, NODE),
    )
    table.add(Chain("to-node", to_node))
    table.add(Chain("to-pod", (JUDGED, _HOUSEKEEPING4, _HOUSEKEEPING6, "goto ingress")))
    unknown = verdicts.goto(Letter.DENY, Direction.INGRESS, UNKNOWN)
    leaving = (
        f"{TEST_JUDGED} accept",
        *_neighbours("accept"),
        _HOUSEKEEPING4,
        _HOUSEKEEPING6,
        CLEAR,
        unknown,
    )
    table.add(Chain("leaving", leaving))
    _base(table, "input", "input", _FILTER, f'iifname "{LINK_PREFIX}*" goto to-node')
    _base(table, "postrouting", "postrouting", _FILTER, f'oifname "{LINK_PREFIX}*" goto leaving')
