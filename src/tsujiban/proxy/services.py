"""Which services an endpoint may use: those with a backend that its egress program does not deny.

A service without backends is kept, so that its first backend changes no listener. The addresses of the
others are refused together; why, the agent knows (`unlisted`).

The clusters of a few are sent beforehand. Where there are many the proxy asks for each that it first needs,
as for tunnels (`routes`); what it holds of the others is where they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from tsujiban.policy.addresses import canonical
from tsujiban.policy.program import Backend, ServicePort, ServiceProgram
from tsujiban.proxy import clusters, names, routes
from tsujiban.proxy.compiler import admits_bytes
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.resource import Resource
from tsujiban.proxy.site import Site
from tsujiban.proxy.table import Table
from tsujiban.resources.protocols import TCP

FEW = 64  # ports of services whose clusters are sent beforehand
Places = tuple[tuple[tuple[int, ...], tuple[str, ...]], ...]


class Services:
    """The services of a node's state, as one endpoint sees them. Only what has changed is looked at."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._known: dict[str, ServiceProgram] = {}
        self._users: dict[str, set[str]] = {}  # services by the addresses of their backends
        self._peers: Peers | None = None
        self._seen = 0  # revision of the peers
        self._table: Table | None = None
        self._own: tuple[str, ...] = ()
        self._ports: dict[str, ServicePort] = {}  # of the services that are listed, by where they are
        self._made: dict[str, tuple[ServicePort, list[Resource]]] = {}
        self._asked: set[str] = set()
        self.revision = 0  # how often anything has changed
        self.listed: dict[str, ServiceProgram] = {}  # with the ports that are listed
        self.places: Places = ()  # of the same: ports, and the addresses that have them
        self.closed: tuple[str, ...] = ()  # addresses of services that lead nowhere

    def follow(
        self, services: Mapping[str, ServiceProgram], table: Table, peers: Peers, own: tuple[str, ...]
    ) -> None:
        """Take the newest services, egress table, owners of addresses, and the endpoint's addresses."""
        moved = peers.since(self._seen) if peers is self._peers else None
        same = table is self._table and own == self._own and moved is not None
        known = self._known if same else {}
        touched = {name for address in moved or () for name in self._users.get(address, ())}
        changed = {
            name: program
            for name, program in services.items()
            if name in touched or (known.get(name) is not program and known.get(name) != program)
        }
        gone = self._known.keys() - services.keys()
        self._note_users((*changed, *gone), services)
        self._known, self._table, self._own = dict(services), table, own
        self._peers, self._seen = peers, peers.revision
        if not changed and not gone:
            return
        listed = {name: program for name, program in self.listed.items() if same and name not in gone}
        for name, program in changed.items():
            listed.pop(name, None)
            ports = tuple(port for port in program.ports if _leads(port, table, peers, own))
            if program.addresses and ports:
                listed[name] = msgspec.structs.replace(program, ports=ports)
        self._list(dict(sorted(listed.items())))
        self.closed = tuple(
            sorted(
                address
                for name, program in services.items()
                if name not in listed
                for address in program.addresses
            )
        )

    def _note_users(self, names: Iterable[str], services: Mapping[str, ServiceProgram]) -> None:
        for name in names:
            for address in _behind(self._known.get(name)):
                self._users[address].discard(name)
                if not self._users[address]:
                    del self._users[address]
            for address in _behind(services.get(name)):
                self._users.setdefault(address, set()).add(name)

    def _list(self, listed: dict[str, ServiceProgram]) -> None:
        self.revision += 1
        self.listed = listed
        groups: defaultdict[tuple[int, ...], list[str]] = defaultdict(list)
        self._ports = {}
        for program in listed.values():
            addresses = [canonical(one) for one in program.addresses]
            groups[tuple(sorted(one.port for one in program.ports))] += addresses
            for port in program.ports:
                self._ports.update((names.end(one, port.port), port) for one in addresses)
        self.places = tuple((ports, tuple(sorted(found))) for ports, found in sorted(groups.items()))
        self._made = {where: made for where, made in self._made.items() if where in self._ports}

    @property
    def generation(self) -> str:
        """Whether the proxy is sent their clusters or has to ask for them."""
        return names.LISTED if len(self._ports) <= FEW else names.ASKED

    def ask(self, where: str) -> tuple[Resource | None, bool]:
        """The cluster of the service that is there, if one is, for the proxy that has asked for it; whether
        its endpoints are to be sent from now on."""
        if where not in self._ports:
            return None, False
        new = where not in self._asked
        self._asked.add(where)
        name = self._site.name(names.service_cluster(names.ASKED, where))
        return clusters.service(self._site, name), new

    def resources(self) -> list[Resource]:
        """The name of the cluster that a connection takes; clusters and endpoints of a few, and the endpoints
        of those that were asked for."""
        found = [routes.to_services(self._site, self.generation)] if self.places else []
        for where, port in self._ports.items() if self.generation == names.LISTED else ():
            known = self._made.get(where)
            if known is None or known[0] != port:
                name = self._site.name(names.service_cluster(names.LISTED, where))
                both = [clusters.service(self._site, name), clusters.endpoints(self._site, name, port)]
                known = self._made[where] = port, both
            found += known[1]
        for where in sorted(self._asked & self._ports.keys()):
            name = self._site.name(names.service_cluster(names.ASKED, where))
            found.append(clusters.endpoints(self._site, name, self._ports[where], asked=True))
        return found


def _behind(program: ServiceProgram | None) -> set[str]:
    ports = program.ports if program is not None else ()
    return {backend.address for port in ports for backend in port.backends}


def _leads(port: ServicePort, table: Table, peers: Peers, own: tuple[str, ...]) -> bool:
    if port.protocol != TCP:
        return False
    return not port.backends or any(_admits(one, table, peers, own) for one in port.backends)


def _admits(backend: Backend, table: Table, peers: Peers, own: tuple[str, ...]) -> bool:
    if backend.address in own:
        return True
    decision = table.find(peers.owner(backend.address) or "", backend.address, backend.port)
    return decision is not None and admits_bytes(decision)
