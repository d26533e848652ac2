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

from tsujiban.kernel.elements import VERSIONS, canonical, triple
from tsujiban.kernel.sets import ADDRESS, triple_type
from tsujiban.kernel.table import Chain, Hook, Set, Table
from tsujiban.policy.program import NodeState, ServiceProgram

TABLE = "tsujiban-services"

_DSTNAT, _SRCNAT = -100, 100
_IP = {4: "ip", 6: "ip6"}
_REFUSE = "refuse"

Elements = dict[str, str]


def render(state: NodeState, local: tuple[str, ...] = (), api: tuple[tuple[str, int], ...] = ()) -> Table:
    """The table of service addresses. Pure. Virtual addresses in `local` are the node's own and
    left alone; `api` are (address, port) of the cluster's API. Raises ValueError for an address
    that is none."""
    table = Table(TABLE)
    kept = frozenset(map(canonical, local))
    most = 0
    for version in VERSIONS:
        services: Elements = {}
        slots: list[Elements] = []
        virtual: Elements = {}
        for service in state.services.values():
            _add_service(service, version, kept, virtual, services, slots)
        most = max(most, len(slots))
        key = triple_type(version)
        table.add(Set(f"virtual{version}", ADDRESS[version], virtual))
        table.add(Set(f"services{version}", key, services, data="verdict"))
        for slot, elements in enumerate(slots):
            table.add(Set(f"slot{slot}-{version}", key, elements, data=f"{ADDRESS[version]} . inet_service"))
        pair = f"{ADDRESS[version]} . {ADDRESS[version]}"
        table.add(Set(f"hairpin{version}", pair, _hairpins(state, version)))
        table.add(Set(f"inhabitants{version}", ADDRESS[version], _inhabitants(state, version)))
        ends = {f"{canonical(one)} . {port:d}": "" for one, port in api if _is(one, version)}
        table.add(Set(f"api{version}", f"{ADDRESS[version]} . inet_service", ends))
    for slot in range(most):
        _slot(table, slot)
    table.add(
        Chain(
            _REFUSE,
            ("meta l4proto 6 counter reject with tcp reset", "counter reject with icmpx port-unreachable"),
        )
    )
    lookups = tuple(
        rule
        for version in VERSIONS
        for rule in (
            f"{_IP[version]} daddr . meta l4proto . th dport vmap @services{version}",
            f"{_IP[version]} daddr @virtual{version} goto {_REFUSE}",
        )
    )
    for hook in ("prerouting", "output"):
        table.add(Chain(hook, lookups, Hook("nat", hook, _DSTNAT)))
    hairpins = tuple(
        f"ct status & dnat == dnat {ip} saddr . {ip} daddr @hairpin{version} masquerade"
        for version, ip in _IP.items()
    )
    to_api = tuple(
        f"meta l4proto 6 {ip} saddr @inhabitants{version} {ip} daddr . th dport @api{version} masquerade"
        for version, ip in _IP.items()
    )
    table.add(Chain("postrouting", (*hairpins, *to_api), Hook("nat", "postrouting", _SRCNAT)))
    return table


def _add_service(
    service: ServiceProgram,
    version: int,
    kept: frozenset[str],
    virtual: Elements,
    services: Elements,
    slots: list[Elements],
) -> None:
    addresses = {canonical(address) for address in service.addresses} - kept
    for address in sorted(address for address in addresses if _is(address, version)):
        virtual[address] = ""
        for port in service.ports:
            key = triple(address, port.protocol, port.port)
            backends = [
                f"{canonical(backend.address)} . {backend.port:d}"
                for backend in port.backends
                if _is(backend.address, version)
            ]
            while len(slots) < len(backends):
                slots.append({})
            for slot, backend in enumerate(backends):
                slots[slot][key] = backend
            services[key] = f"goto pick{len(backends)}" if backends else f"goto {_REFUSE}"


def _is(address: str, version: int) -> bool:
    return (":" in address) == (version == 6)


def _slot(table: Table, slot: int) -> None:
    """The chain of one slot, and the one that picks among all slots up to it."""
    translate = tuple(
        f"dnat {ip} to {ip} daddr . meta l4proto . th dport map @slot{slot}-{version}"
        for version, ip in _IP.items()
        if f"slot{slot}-{version}" in table.sets
    )
    table.add(Chain(f"slot{slot}", translate))
    verdicts = ", ".join(f"{index} : goto slot{index}" for index in range(slot + 1))
    rule = f"numgen random mod {slot + 1} vmap {{ {verdicts} }}" if slot else "goto slot0"
    table.add(Chain(f"pick{slot + 1}", (rule,)))


def _hairpins(state: NodeState, version: int) -> Elements:
    """(address, address) of the node's own pods that stand behind a service."""
    backends = {
        canonical(backend.address)
        for service in state.services.values()
        for port in service.ports
        for backend in port.backends
    }
    here = _inhabitants(state, version).keys()
    return {f"{address} . {address}": "" for address in sorted(backends & here)}


def _inhabitants(state: NodeState, version: int) -> Elements:
    """Addresses of the node's own pods."""
    pods = (endpoint for endpoint in state.endpoints.values() if not endpoint.host)
    every = {canonical(address) for endpoint in pods for address in endpoint.addresses}
    return {address: "" for address in sorted(every) if _is(address, version)}
