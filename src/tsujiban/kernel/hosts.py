"""Host endpoints: policy at a node's own interfaces, for its own traffic and for what it forwards.

    prerouting raw     policies before connection tracking (`doNotTrack`)
    prerouting mangle  policies before address translation (`preDNAT`)
    input, output      the node's own traffic
    forward            policies with `applyOnForward`, at the interface it came by and at the one it leaves by

An interface that an endpoint names is that endpoint's; else the node's own address decides; else
the endpoint of all interfaces (`*`). Where there is none, nothing is decided. Loopback is left
alone, and what pods send to their node: `render` lets them reach its DNS and no more.

**Nobody is locked out.** Failsafe ports are open before any policy is asked, whatever it says.
They are about the node's own traffic alone. Source: Calico's HostEndpoint and FelixConfiguration
(`failsafeInboundHostPorts`, `failsafeOutboundHostPorts`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tsujiban.kernel import names
from tsujiban.kernel.elements import VERSIONS, canonical
from tsujiban.kernel.policies import Pass, PolicyChains, Stage, stage_of
from tsujiban.kernel.sets import ADDRESS
from tsujiban.kernel.table import Chain, Hook, Set, Table
from tsujiban.kernel.verdicts import CLEAR, TEST_ADMITTED, UNFORGE, Ending, Station
from tsujiban.policy.failsafes import Failsafes
from tsujiban.policy.program import Direction, EndpointProgram, PolicyProgram

ALL = "*"
_IP = {4: "ip", 6: "ip6"}
_RAW, _MANGLE, _FILTER = -300, -150, 0

# Neighbour discovery and multicast reports: a link does not work without them.
_LINK = tuple(f"meta l4proto 58 @th,0,8 {types} accept" for types in ("130-136", "143"))
_ESTABLISHED = "ct state established,related accept"


@dataclass
class Placed:
    """The host endpoints of a node, by where they stand."""

    interfaces: dict[str, EndpointProgram] = field(default_factory=dict)
    addresses: dict[str, EndpointProgram] = field(default_factory=dict)
    everywhere: EndpointProgram | None = None
    problems: list[str] = field(default_factory=list)

    def all(self) -> tuple[EndpointProgram, ...]:
        """Each of them once."""
        rest = (self.everywhere,) if self.everywhere else ()
        found = (*self.interfaces.values(), *self.addresses.values(), *rest)
        return tuple({endpoint.id: endpoint for endpoint in found}.values())

    def owner(self, address: str, interface: str) -> str:
        """The id of the endpoint for traffic of the node's own at this interface; "" when there is none."""
        found = self.interfaces.get(interface) or self.addresses.get(address) or self.everywhere
        return found.id if found else ""


def place(endpoints: Iterable[EndpointProgram], own: Mapping[str, str]) -> Placed:
    """Where host endpoints stand. `own` are the node's interfaces by their addresses: an endpoint that
    names no interface is at those that have one of its addresses."""
    placed = Placed()
    for endpoint in sorted(endpoints, key=lambda endpoint: endpoint.id):
        try:
            addresses = [canonical(address) for address in endpoint.addresses]
            if endpoint.interface not in ("", ALL):
                names.interface(endpoint.interface)
        except ValueError as error:
            placed.problems.append(f"host endpoint {endpoint.id}: {error}: it is not enforced")
            continue
        if endpoint.interface == ALL:
            places = [(ALL, placed.everywhere)]
            placed.everywhere = placed.everywhere or endpoint
        else:
            found = [endpoint.interface] if endpoint.interface else [own[a] for a in addresses if a in own]
            places = [(one, placed.interfaces.setdefault(one, endpoint)) for one in dict.fromkeys(found)]
        for where, owner in places:
            if owner is not None and owner is not endpoint:
                placed.problems.append(
                    f"host endpoint {endpoint.id}: interface {where} is {owner.id}'s: not enforced there"
                )
        for address in addresses:
            placed.addresses.setdefault(address, endpoint)
    return placed


class HostChains:
    """Adds the chains of a node's host endpoints to `table`; none, when it has none."""

    def __init__(
        self,
        table: Table,
        chains: PolicyChains,
        placed: Placed,
        policies: Mapping[str, PolicyProgram],
        *,
        failsafes: Failsafes,
        workloads: str,
        opening: Mapping[Station, tuple[str, ...]],
        reject: bool,
    ) -> None:
        """`workloads` is the prefix of pods' interfaces; `opening` drops what opens no connection."""
        self._table = table
        self._chains = chains
        self._placed = placed
        self._policies = policies
        self._failsafes = failsafes
        self._workloads = workloads
        self._opening = opening
        self._ending = Ending.REFUSED if reject else Ending.PLAIN

    def add(self) -> None:
        """All of them."""
        if not self._placed.all():
            return
        inbound, outbound = self._failsafe_sets()
        self._early(inbound, outbound)
        self._own(inbound, outbound)
        self._forwarded()

    def _failsafe_sets(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """For each direction, (address match, set of ports) pairs."""
        found = []
        for way, ports in (("in", self._failsafes.inbound), ("out", self._failsafes.outbound)):
            by_net: dict[str, dict[str, str]] = {}
            for failsafe in ports:
                net = canonical(failsafe.net) if failsafe.net else ""
                by_net.setdefault(net, {})[f"{failsafe.protocol} . {failsafe.port}"] = ""
            found.append(
                [
                    (net, self._table.add(Set(names.name(f"failsafe-{way}", net), _PORT, elements)))
                    for net, elements in sorted(by_net.items())
                ]
            )
        return found[0], found[1]

    def _early(self, inbound: list[tuple[str, str]], outbound: list[tuple[str, str]]) -> None:
        open_in = (*_failsafe(inbound, "saddr", "dport"), *_failsafe(outbound, "saddr", "sport"))
        open_out = (*_failsafe(outbound, "daddr", "dport"), *_failsafe(inbound, "daddr", "sport"))
        raw = {Stage.UNTRACKED}
        if self._any(Direction.INGRESS, Stage.UNTRACKED):
            walk = Pass(Direction.INGRESS, Station.HOST_INGRESS, Ending.UNTRACKED, frozenset(raw))
            rules = (
                'iifname "lo" accept',
                *open_in,
                *_LINK,
                CLEAR,
                *self._dispatch("raw-in", walk, "iifname", "daddr"),
            )
            self._base("host-raw-in", "prerouting", _RAW + 1, rules)
        if self._any(Direction.EGRESS, Stage.UNTRACKED):
            walk = Pass(Direction.EGRESS, Station.HOST_EGRESS, Ending.UNTRACKED, frozenset(raw))
            rules = (
                'oifname "lo" accept',
                *open_out,
                *_LINK,
                CLEAR,
                *self._dispatch("raw-out", walk, "oifname", "saddr"),
            )
            self._base("host-raw-out", "output", _RAW + 1, rules)
        if self._any(Direction.INGRESS, Stage.PRE_DNAT):
            stages = frozenset({Stage.PRE_DNAT})
            walk = Pass(Direction.INGRESS, Station.HOST_INGRESS, Ending.ADMITTED, stages)
            rules = (
                'iifname "lo" accept',
                _ESTABLISHED,
                f"{TEST_ADMITTED} accept",
                *_failsafe(inbound, "saddr", "dport"),
                *_LINK,
                CLEAR,
                *self._dispatch("pre-dnat", walk, "iifname", "daddr"),
            )
            self._base("host-pre-dnat", "prerouting", _MANGLE, rules)

    def _own(self, inbound: list[tuple[str, str]], outbound: list[tuple[str, str]]) -> None:
        walk = Pass(Direction.INGRESS, Station.HOST_INGRESS, self._ending)
        rules = (
            'iifname "lo" accept',
            f'iifname "{self._workloads}*" accept',
            _ESTABLISHED,
            *_failsafe(inbound, "saddr", "dport"),
            f"{TEST_ADMITTED} accept",
            *_LINK,
            *self._opening[Station.HOST_INGRESS],
            *self._dispatch("host-in", walk, "iifname", "daddr"),
        )
        self._base("host-input", "input", _FILTER + 1, rules)
        walk = Pass(Direction.EGRESS, Station.HOST_EGRESS, self._ending)
        dispatch = self._dispatch("host-out", walk, "oifname", "saddr")
        # what goes to a pod may still name the interface it had before its address was translated
        self._table.add(Chain("host-to-pod", dispatch[1:]))
        rules = (
            'oifname "lo" accept',
            _ESTABLISHED,
            *_failsafe(outbound, "daddr", "dport"),
            f"{TEST_ADMITTED} accept",
            *_LINK,
            *self._opening[Station.HOST_EGRESS],
            *(f"{ip} daddr @pods{version} goto host-to-pod" for version, ip in _IP.items()),
            *dispatch,
        )
        self._base("host-output", "output", _FILTER, rules)
        self._base("unforge", "output", _RAW, (UNFORGE,))

    def _forwarded(self) -> None:
        """Two base chains, so that what one accepts is still asked of the other."""
        for direction, station, side, priority in (
            (Direction.INGRESS, Station.FORWARD_INGRESS, "iifname", 1),
            (Direction.EGRESS, Station.FORWARD_EGRESS, "oifname", 2),
        ):
            if not self._any(direction, forwarded=True):
                continue
            # before a connection is tracked nothing that is forwarded has been asked on its way out
            untracked = direction is Direction.EGRESS
            stages = {Stage.NORMAL, Stage.UNTRACKED} if untracked else {Stage.NORMAL}
            admitted = (f"{TEST_ADMITTED} accept",) if direction is Direction.INGRESS else ()
            steps = []
            for stage in sorted(stages, reverse=True):
                walk = Pass(direction, station, self._ending, frozenset({stage}), forwarded=True)
                name = f"{station}-{stage}"
                steps.append(f"jump {self._table.add(Chain(name, self._dispatch(name, walk, side, None)))}")
            rules = (_ESTABLISHED, *admitted, *self._opening[station], *steps)
            self._base(f"host-{station}", "forward", _FILTER + priority, rules)

    def _any(self, direction: Direction, stage: Stage | None = None, *, forwarded: bool = False) -> bool:
        """Whether some endpoint has a policy of this kind, or lacks one that could be."""
        for endpoint in self._placed.all():
            for tier in endpoint.ingress if direction is Direction.INGRESS else endpoint.egress:
                for policy in map(self._policies.get, tier.policies):
                    if policy is None or (not forwarded and stage_of(policy) is stage):
                        return True
                    if forwarded and policy.apply_on_forward:
                        return True
        return False

    def _dispatch(self, name: str, walk: Pass, side: str, address: str | None) -> tuple[str, ...]:
        """Rules that send a packet to its endpoint's chain, by interface first; nobody else is asked then."""

        def chain(endpoint: EndpointProgram) -> str:
            return f"goto {self._chains.endpoint(endpoint, walk)}"

        verdict = "verdict"
        interfaces = {one: chain(endpoint) for one, endpoint in self._placed.interfaces.items()}
        rules = [f"{side} vmap @{self._table.add(Set(f'{name}-interfaces', 'ifname', interfaces, verdict))}"]
        for version in VERSIONS if address else ():
            elements = {
                one: chain(endpoint)
                for one, endpoint in self._placed.addresses.items()
                if (":" in one) == (version == 6)
            }
            made = self._table.add(Set(f"{name}-addresses{version}", ADDRESS[version], elements, verdict))
            rules.append(f"{_IP[version]} {address} vmap @{made}")
        if self._placed.everywhere:
            rules.append(chain(self._placed.everywhere))
        return tuple(rules)

    def _base(self, name: str, hook: str, priority: int, rules: Iterable[str]) -> None:
        self._table.add(Chain(name, tuple(rules), Hook("filter", hook, priority)))


_PORT = "inet_proto . inet_service"


def _failsafe(sets: list[tuple[str, str]], address: str, port: str) -> Iterator[str]:
    for net, ports in sets:
        where = f"{'ip6' if ':' in net else 'ip'} {address} {net} " if net else ""
        yield f"{where}meta l4proto . th {port} @{ports} accept"
