"""The kernel post of this node: programmed, watched over, and followed by the end of what it forbids.

nftables work blocks, so it runs on one thread at a time, in the node's network namespace, where
the whole agent lives.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import structlog

from tsujiban.kernel.apply import KernelPost
from tsujiban.kernel.conntrack import Connection, Conntrack, Ended
from tsujiban.kernel.netlink import InterruptedDumpError
from tsujiban.kernel.nflog import Owners
from tsujiban.kernel.nft import NftError
from tsujiban.kernel.render import Settings
from tsujiban.policy.evaluate import evaluate
from tsujiban.policy.failsafes import Failsafe, Failsafes, is_open
from tsujiban.policy.flow import Flow, Post
from tsujiban.policy.program import Action, NodeState
from tsujiban.policy.world import World
from tsujiban.wire.messages import NodeConfig

log = structlog.get_logger(__name__)

VERIFY_SECONDS = 2.0

HangUp = Callable[[NodeState, Sequence[Connection]], None]


def nobody_hears(_state: NodeState, _connections: Sequence[Connection]) -> None:
    """Connections end without a word."""


class KernelSide:
    """Policy table, service addresses and connection tracking of this node."""

    name = "kernel"

    def __init__(
        self, dns_address: str, ended: Callable[[Sequence[Ended]], None], hang_up: HangUp = nobody_hears
    ) -> None:
        """`ended` is told which connections a change has ended; `hang_up` is given a state, and those that it
        is about to end."""
        self._post = KernelPost(Settings(dns_addresses=(dns_address,)))
        self.refresh: Callable[[], None] = lambda: None  # called when the state must be enforced again
        self._conntrack = Conntrack()
        self._ended = ended
        self._hang_up = hang_up
        self._lock = threading.Lock()
        self.repairs = 0

    def owners(self) -> Owners:
        """Whose program decides where, as in force."""
        return self._post.owners()

    def long_ids(self) -> Mapping[str, str]:
        """Rule ids by their stand-in in log prefixes, as in force."""
        return self._post.long_ids()

    def configure(self, network: NodeConfig, lifelines: Sequence[Failsafe]) -> None:
        """Take over what the controller says of enforcement. The `lifelines`, ways to controllers, are never
        closed."""
        usual = Failsafes()
        inbound, outbound = (
            given if told is None else tuple(Failsafe(*port) for port in told)
            for told, given in (
                (network.failsafe_inbound, usual.inbound),
                (network.failsafe_outbound, usual.outbound),
            )
        )
        settings = Settings(
            dns_addresses=(network.dns_address,),
            api_endpoints=network.api_endpoints,
            failsafes=Failsafes(inbound, tuple(dict.fromkeys((*outbound, *lifelines)))),
            reject=network.reject,
        )
        if settings != self._post.settings:
            with self._lock:
                self._post.settings = settings
            self.refresh()

    async def enforce(self, state: NodeState, endpoints: set[str] | None) -> Sequence[str]:
        """Program the kernel; then end the connections that are now denied."""
        try:
            return await asyncio.to_thread(self._enforce, state, endpoints)
        except (NftError, OSError, InterruptedDumpError) as error:
            return (str(error) or type(error).__name__,)

    def _enforce(self, state: NodeState, endpoints: set[str] | None) -> Sequence[str]:
        with self._lock:
            applied = self._post.sync(state, state.revision)
            ended = (*applied.ended, *self._end_denied(state, endpoints))
        if ended:
            self._ended(ended)
        return applied.problems

    def _end_denied(self, state: NodeState, endpoints: set[str] | None) -> tuple[Ended, ...]:
        names = state.endpoints.keys() if endpoints is None else endpoints & state.endpoints.keys()
        concerned = [state.endpoints[name] for name in names]
        addresses = {address for endpoint in concerned for address in endpoint.addresses}
        # a host endpoint judges what passes as well, from and to whomever
        passing = any(endpoint.host for endpoint in concerned)
        if not addresses and not passing:
            return ()
        world = World(state)
        return self._conntrack.end_denied(
            None if passing else addresses,
            lambda connection: _denied(world, connection, self._post),
            partial(self._hang_up, state),
        )

    async def watch(self) -> None:
        """Look after the tables: what somebody else changes is put right, and said. Until cancelled."""
        while True:
            await asyncio.sleep(VERIFY_SECONDS)
            try:
                differences, stale = await asyncio.to_thread(self._verify)
            except (NftError, OSError, InterruptedDumpError) as error:
                log.error("the kernel's table cannot be verified", reason=str(error))
                continue
            if stale:
                self.refresh()
            if differences:
                self.repairs += 1
                log.error("somebody changed the policy table; repaired", differences=differences)

    def _verify(self) -> tuple[tuple[str, ...], bool]:
        with self._lock:
            return self._post.verify(), self._post.stale()


def _denied(world: World, connection: Connection, post: KernelPost) -> str | None:
    """The rule that denies a connection now, as the kernel sees it."""
    source, destination = post.host_of(connection.source), post.host_of(connection.destination)
    failsafes = post.settings.failsafes
    protocol, port = connection.protocol, connection.destination_port
    if source and is_open(failsafes.outbound, protocol, port, connection.destination):
        return None
    if destination and is_open(failsafes.inbound, protocol, port, connection.source):
        return None
    flow = Flow(
        source=connection.source,
        destination=connection.destination,
        protocol=connection.protocol,
        port=connection.destination_port,
        source_port=connection.source_port,
        icmp_type=connection.icmp_type,
        icmp_code=connection.icmp_code,
        source_endpoint=source,
        destination_endpoint=destination,
    )
    verdict = evaluate(world, flow, Post.KERNEL)
    return verdict.decided_by[0] if verdict.verdict is Action.DENY else None
