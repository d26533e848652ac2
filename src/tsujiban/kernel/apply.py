"""The kernel post: makes the kernel enforce a node's state, and keeps it so.

The policy table and the table of service addresses are two tables and two transactions; policy
comes first, so that no address is translated to a place that old policy would let through.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from tsujiban.kernel import services
from tsujiban.kernel.conntrack import Conntrack, Ended
from tsujiban.kernel.counters import Count, read_counts
from tsujiban.kernel.interfaces import Interfaces
from tsujiban.kernel.keeper import TableKeeper
from tsujiban.kernel.netlink import ACK, NFTABLES, Conversation, attributes, request
from tsujiban.kernel.nflog import Owners
from tsujiban.kernel.nft import Nft, NftError
from tsujiban.kernel.render import SOURCES, TABLE, UNKNOWN, Memory, Rendered, Settings, render
from tsujiban.kernel.table import Table
from tsujiban.kernel.verdicts import RuleKey
from tsujiban.policy.program import NodeState

_GET_GENERATION = 16  # NFT_MSG_GETGEN
_GENERATION_ID = 1  # NFTA_GEN_ID


@dataclass(frozen=True)
class Applied:
    """What `sync` did."""

    revision: int
    commands: int  # nft commands that were needed; 0: the kernel held it all
    rebuilt: bool  # the table was made anew: counters started from zero
    took_us: int
    ended: tuple[Ended, ...] = ()  # connections of addresses that their pods have lost
    problems: tuple[str, ...] = ()  # what could not be enforced as written, and was denied instead


class KernelPost:
    """The policy table of the network namespace this is made in. Not thread-safe, and blocking."""

    def __init__(self, settings: Settings, nft: Nft | None = None) -> None:
        self._nft = nft or Nft()
        self.settings = settings  # may be replaced; the next `sync` follows
        self._policy = TableKeeper(self._nft, TABLE)
        self._services = TableKeeper(self._nft, services.TABLE)
        self._translations = services.ServiceTable()
        self._memory = Memory()
        self._conntrack = Conntrack()
        self._conversation = Conversation()
        self._interfaces = Interfaces()
        self._verified = -1  # the generation that `verify` found to be right
        self.rendered: Rendered | None = None  # what is in force
        self._addresses: Table | None = None
        self.own: dict[str, str] = {}  # interfaces by the node's addresses, while host endpoints need them

    def sync(self, state: NodeState, revision: int) -> Applied:
        """Enforce `state`, by the smallest change, in one transaction.

        Raises NftError when the kernel refuses; then what was in force before still is.
        """
        start = time.perf_counter_ns()
        hosts = any(endpoint.host for endpoint in state.endpoints.values())
        own = self.own = self._interfaces.addresses() if hosts else {}
        generation = self._generation()
        rendered = render(state, self.settings, self._memory, own)
        addresses = self._translations.render(state, self.settings.dns_addresses, self.settings.api_endpoints)
        before = self._sources()
        policy = self._policy.apply(rendered.table)
        self.rendered = rendered
        translation = self._services.apply(addresses)
        self._addresses = addresses
        transactions = (policy.commands > 0) + (translation.commands > 0)
        if generation == self._verified and self._generation() == generation + transactions:
            self._verified += transactions  # what was right is, by our own changes alone, right again
        released = {key.rpartition(" ")[2] for key in before - self._sources()}
        return Applied(
            revision=revision,
            commands=policy.commands + translation.commands,
            rebuilt=policy.rebuilt,
            took_us=(time.perf_counter_ns() - start) // 1000,
            ended=self._conntrack.end_denied(released, lambda _: UNKNOWN) if released else (),
            problems=rendered.problems,
        )

    def _sources(self) -> frozenset[str]:
        """(interface, address) pairs in force."""
        return frozenset().union(*(self._policy.elements(name) for name in SOURCES))

    def verify(self, *, thorough: bool = False) -> tuple[str, ...]:
        """Compare the kernel with what was programmed; repair, atomically, what somebody else changed.

        Cheap while nobody but this post has changed any nftables of the namespace, unless `thorough`.

        Returns what was wrong, in words; () when nothing was, or nothing is programmed yet.
        Raises NftError when it cannot be repaired.
        """
        generation = self._generation()
        if generation == self._verified and not thorough:
            return ()
        wrong: tuple[str, ...] = ()
        for keeper, table in (
            (self._policy, self.rendered.table if self.rendered else None),
            (self._services, self._addresses),
        ):
            differences = keeper.differences() if table else ()
            if table and differences:
                wrong += tuple(f"table {table.name}: {difference}" for difference in differences)
                keeper.forget()
                keeper.apply(table)
        if not wrong:
            self._verified = generation
        return wrong

    def stale(self) -> bool:
        """Whether the node's own addresses have moved, so that a host endpoint may stand elsewhere."""
        return bool(self.own) and self._interfaces.addresses() != self.own

    def host_of(self, address: str) -> str:
        """The id of the host endpoint that one of the node's own addresses belongs to; "" for none."""
        interface = self.own.get(address, "lo")
        if self.rendered is None or interface == "lo":
            return ""
        return self.rendered.hosts.owner(address, interface)

    def _generation(self) -> int:
        """The number of the namespace's last nftables transaction."""
        for message in self._conversation.ask(request(NFTABLES, _GET_GENERATION, ACK)):
            return int.from_bytes(attributes(message.payload)[_GENERATION_ID], "big")
        raise NftError("the kernel tells no nftables generation")

    def counts(self) -> dict[RuleKey, Count]:
        """Packets and bytes of every rule that is in force, by verdict, direction and rule id."""
        return read_counts(self._nft, self.rendered.keys) if self.rendered else {}

    def owners(self) -> Owners:
        """Whose program decides where, as in force."""
        if self.rendered is None:
            return Owners()
        return Owners(self.rendered.interfaces, self.rendered.addresses, self.rendered.hosts.owner)

    def long_ids(self) -> dict[str, str]:
        """Rule ids that are too long for a log prefix, by what stands for them there."""
        return self.rendered.long_ids if self.rendered else {}

    def close(self) -> None:
        """Let go of the kernel. What is in force stays in force."""
        self._nft.close()
        self._policy.close()
        self._services.close()
        self._conntrack.close()
        self._conversation.close()
        self._interfaces.close()
