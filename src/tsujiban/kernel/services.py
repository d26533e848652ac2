"""Service addresses: a virtual (address, protocol, port) becomes a ready backend's.

    key ─services─→ pick N ─random─→ slot i ─slot map i─→ dnat

`services` sends a service port to the chain for its number of backends; that chain picks a slot;
the slot's map holds every service's i-th backend. So a change of a service or of its backends is
a change of elements, the chains are as many as the largest service has backends, and a packet
crosses three lookups however many services there are. Only a connection's first packet comes here.

It happens before policy: the forward hook sees the backend's own address. A service without
ready backends, and a port that a virtual address does not have, are refused. A pod that is led
back to itself is masqueraded, since it would answer itself without passing the node, and so is one
that goes to the cluster's API, which has no routes to pods; no other connection is, so policy and
backends see true sources.

Pods with a sidecar never come here with TCP: their proxy picks the backend.
"""

from __future__ import annotations

from collections.abc import Mapping

from tsujiban.kernel.elements import VERSIONS, canonical
from tsujiban.kernel.serviceparts import REFUSE, Elements, Part, Parts, is_of, part
from tsujiban.kernel.sets import ADDRESS, triple_type
from tsujiban.kernel.table import Chain, Hook, Set, Table
from tsujiban.policy.program import NodeState, ServiceProgram
from tsujiban.policy.versions import Versioned, difference

TABLE = "tsujiban-services"

_DSTNAT, _SRCNAT = -100, 100
_IP = {4: "ip", 6: "ip6"}


class ServiceTable:
    """The table of service addresses, at the cost of what changed since it was last rendered.

    Pure apart from that memory: whatever came before, the same state renders the same table.
    """

    def __init__(self) -> None:
        self._known: dict[str, ServiceProgram] = {}
        self._kept: frozenset[str] = frozenset()
        self._parts = {version: Parts() for version in VERSIONS}
        self._small: dict[str, Elements] = {}
        self._chains: tuple[list[int], dict[str, Chain]] | None = None

    def render(
        self, state: NodeState, local: tuple[str, ...] = (), api: tuple[tuple[str, int], ...] = ()
    ) -> Table:
        """The table for `state`. Virtual addresses in `local` are the node's own and left alone; `api`
        are (address, port) of the cluster's API. Raises ValueError for an address that is none."""
        self._follow(state, frozenset(map(canonical, local)))
        table = Table(TABLE)
        for version, parts in self._parts.items():
            key, pair = triple_type(version), f"{ADDRESS[version]} . {ADDRESS[version]}"
            table.add(Set(f"virtual{version}", ADDRESS[version], parts.virtual))
            table.add(Set(f"services{version}", key, parts.services, data="verdict"))
            for slot, elements in enumerate(parts.slots):
                name = f"slot{slot}-{version}"
                table.add(Set(name, key, elements, data=f"{ADDRESS[version]} . inet_service"))
            here = _inhabitants(state, version)
            led_back = (f"{address} . {address}" for address in here if parts.backends[address])
            self._add_small(table, f"hairpin{version}", pair, dict.fromkeys(led_back, ""))
            self._add_small(table, f"inhabitants{version}", ADDRESS[version], dict.fromkeys(here, ""))
            ends = {f"{canonical(one)} . {port:d}": "" for one, port in api if is_of(one, version)}
            self._add_small(table, f"api{version}", f"{ADDRESS[version]} . inet_service", ends)
        table.chains = self._made_chains([len(parts.slots) for parts in self._parts.values()])
        return table

    def _follow(self, state: NodeState, kept: frozenset[str]) -> None:
        """Take over the services. Nothing is taken over when one of them cannot be."""
        known = {} if kept != self._kept else self._known
        changed = [service for name, service in state.services.items() if known.get(name) is not service]
        gone = self._known.keys() - state.services.keys()
        if not changed and not gone:
            return
        made: dict[int, dict[str, Part | None]] = {
            version: {service.id: part(service, version, kept) for service in changed} for version in VERSIONS
        }
        for version, parts in self._parts.items():
            parts.change({**made[version], **dict.fromkeys(gone)}, state.services)
        self._known, self._kept = dict(state.services), kept

    def _add_small(self, table: Table, name: str, kind: str, elements: Mapping[str, str]) -> None:
        """Add a set that is as large as the node, and the same object while it is the same."""
        before = self._small.get(name, Versioned())
        less, more = difference(before, elements)
        self._small[name] = before.changed(less, more) if less or more else before
        table.add(Set(name, kind, self._small[name]))

    def _made_chains(self, depths: list[int]) -> dict[str, Chain]:
        """The chains for so many slots of each IP version; the same object while these are the same."""
        if self._chains is None or self._chains[0] != depths:
            self._chains = (depths, _chains(dict(zip(VERSIONS, depths, strict=True))))
        return self._chains[1]


def _chains(depths: Mapping[int, int]) -> dict[str, Chain]:
    refuse = ("meta l4proto 6 counter reject with tcp reset", "counter reject with icmpx port-unreachable")
    lookups = tuple(
        rule
        for version in VERSIONS
        for rule in (
            f"{_IP[version]} daddr . meta l4proto . th dport vmap @services{version}",
            f"{_IP[version]} daddr @virtual{version} goto {REFUSE}",
        )
    )
    hairpins = tuple(
        f"ct status & dnat == dnat {ip} saddr . {ip} daddr @hairpin{version} masquerade"
        for version, ip in _IP.items()
    )
    to_api = tuple(
        f"meta l4proto 6 {ip} saddr @inhabitants{version} {ip} daddr . th dport @api{version} masquerade"
        for version, ip in _IP.items()
    )
    every = [
        *(chain for slot in range(max(depths.values())) for chain in _slot(slot, depths)),
        Chain(REFUSE, refuse),
        *(Chain(hook, lookups, Hook("nat", hook, _DSTNAT)) for hook in ("prerouting", "output")),
        Chain("postrouting", (*hairpins, *to_api), Hook("nat", "postrouting", _SRCNAT)),
    ]
    return {chain.name: chain for chain in every}


def _slot(slot: int, depths: Mapping[int, int]) -> tuple[Chain, Chain]:
    """The chain of one slot, and the one that picks among all slots up to it."""
    translate = tuple(
        f"dnat {ip} to {ip} daddr . meta l4proto . th dport map @slot{slot}-{version}"
        for version, ip in _IP.items()
        if slot < depths[version]
    )
    verdicts = ", ".join(f"{index} : goto slot{index}" for index in range(slot + 1))
    rule = f"numgen random mod {slot + 1} vmap {{ {verdicts} }}" if slot else "goto slot0"
    return Chain(f"slot{slot}", translate), Chain(f"pick{slot + 1}", (rule,))


def _inhabitants(state: NodeState, version: int) -> list[str]:
    """Addresses of the node's own pods, in order."""
    pods = (endpoint for endpoint in state.endpoints.values() if not endpoint.host)
    every = {canonical(address) for endpoint in pods for address in endpoint.addresses}
    return sorted(address for address in every if is_of(address, version))
