"""Which services an endpoint may use: those with a backend that its egress program does not deny.

A service without backends is kept, so that its first backend changes no listener. The addresses of the
others are refused together; why, the agent knows (`unlisted`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from tsujiban.policy.program import Backend, ServicePort, ServiceProgram
from tsujiban.proxy import clusters
from tsujiban.proxy.compiler import admits_bytes
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.resource import Resource
from tsujiban.proxy.site import Site
from tsujiban.proxy.table import Table
from tsujiban.resources.protocols import TCP


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
        self._resources: dict[str, list[Resource]] = {}
        self.listed: dict[str, ServiceProgram] = {}  # with the ports that are listed
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
        for name in gone:
            self._resources.pop(name, None)
        for name, program in changed.items():
            listed.pop(name, None)
            ports = tuple(port for port in program.ports if _leads(port, table, peers, own))
            old = self.listed.get(name)
            if program.addresses and ports:
                listed[name] = msgspec.structs.replace(program, ports=ports)
            if listed.get(name) != old or name not in self._resources:
                self._resources[name] = self._render(listed[name]) if name in listed else []
        self.listed = dict(sorted(listed.items()))
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

    def _render(self, program: ServiceProgram) -> list[Resource]:
        found: list[Resource] = []
        for port in program.ports:
            found.append(clusters.service(self._site, program.id, port.port))
            found.append(clusters.endpoints(self._site, program.id, port))
        return found

    def resources(self) -> list[Resource]:
        """Clusters and endpoints of what is listed."""
        return [one for listed in self._resources.values() for one in listed]


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
