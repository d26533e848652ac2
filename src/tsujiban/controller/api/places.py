"""Whose each connection is. Pure.

There is room for so many connections. One is an address's until it has shown who it belongs to, and from then
on the user's; an address that shows nothing, or one user alone, has a part of the room only. Behind one
address may be all the pods of a node, so what is proven is not held against it.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv6Address, ip_address

from tsujiban.controller.api.errors import TooManyConnections
from tsujiban.controller.api.users import MASTERS, User

MAX_UNPROVEN = 1536  # connections that have not shown a user: handshakes under way, and who asks without one
MAX_PER_ADDRESS = 512  # of them; an IPv4 address, or an IPv6 network of 64 bits
MAX_PER_USER = 640  # connections of one user: as many watches as one may have, and some
MAX_CONNECTIONS = 2048
RESERVED = 64  # more, for administrators and nodes, and for telling the others to come back


class Places:
    """All connections that are open."""

    def __init__(self) -> None:
        self._owners: dict[object, tuple[str, str]] = {}  # ("address" or "user", which)
        self._counts: Counter[tuple[str, str]] = Counter()
        self.unproven = 0

    def __len__(self) -> int:
        return len(self._owners)

    def has_room(self, address: str) -> bool:
        """Whether one more connection may come from there."""
        return (
            len(self._owners) < MAX_CONNECTIONS + RESERVED
            and self.unproven < MAX_UNPROVEN
            and self._counts["address", address] < MAX_PER_ADDRESS
        )

    def enter(self, connection: object, address: str) -> None:
        """A new one."""
        self._own(connection, ("address", address))

    def claim(self, connection: object, user: User) -> None:
        """It has shown whose it is.

        Raises:
            TooManyConnections: the user has as many as one may have, or all places are taken.
        """
        owner = ("user", user.name)
        if connection not in self._owners or self._owners[connection] == owner:
            return
        if MASTERS not in user.groups:
            if self._counts[owner] >= MAX_PER_USER:
                raise TooManyConnections(f"user {user.name!r} has {MAX_PER_USER} connections; close some")
            if len(self._owners) > MAX_CONNECTIONS and not user.node:
                raise TooManyConnections("too many connections; try again later")
        self._own(connection, owner)

    def leave(self, connection: object) -> None:
        """It is gone."""
        owner = self._owners.pop(connection, None)
        if owner is None:
            return
        self._counts[owner] -= 1
        if not self._counts[owner]:
            del self._counts[owner]
        self.unproven -= owner[0] == "address"

    def _own(self, connection: object, owner: tuple[str, str]) -> None:
        self.leave(connection)
        self._owners[connection] = owner
        self._counts[owner] += 1
        self.unproven += owner[0] == "address"


def address_of(peer: object) -> str:
    """Whom an accepted connection's address counts for."""
    host = peer[0] if isinstance(peer, tuple) else ""
    try:
        found = ip_address(str(host).partition("%")[0])
    except ValueError:
        return str(host)
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Address(found.packed[:8] + bytes(8)))
    return str(found)
