"""Packets through a real kernel, and what its log says of them, beside what the evaluator says.

Every decision is compared by direction, verdict and rule id, Log rules included. A packet is sent once
and whatever comes back is nobody's business: the log tells what was decided.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from tests.support.kernelbed import Bed, checksum, sctp_init, udplite, until

from tsujiban.kernel.apply import KernelPost
from tsujiban.kernel.conntrack import Conntrack
from tsujiban.kernel.nflog import KernelEvent, KernelLog
from tsujiban.kernel.nft import Nft
from tsujiban.kernel.render import Settings, render
from tsujiban.kernel.verdicts import Logging
from tsujiban.policy.failsafes import Failsafe, Failsafes
from tsujiban.policy.flow import Flow, Layer
from tsujiban.policy.program import Action, NodeState, PolicyProgram

GROUP = 17
ICMPS = (1, 58)
QUIET_SECONDS = (
    10.0  # the kernel has judged a packet before the next one is sent; reading what it says takes time
)

_numbers = itertools.count(2000)  # source ports and ICMP ids: none is used twice in a row

Key = tuple[str, str, int, int, int]
Decision = tuple[str, Action, str]  # direction, verdict, rule id
Layers = Callable[[Flow], Sequence[Layer]]


@dataclass(frozen=True)
class Attempt:
    """One packet to be sent from the namespace of `who`."""

    who: str
    source: str
    to: str
    protocol: int
    port: int = 0
    kind: int = 0  # of ICMP
    code: int = 0

    @property
    def version(self) -> int:
        """Of IP."""
        return 6 if ":" in self.source else 4

    def flow(self, number: int) -> Flow:
        """What the evaluator is asked. `number` is the source port or the ICMP id."""
        icmp = self.protocol in ICMPS
        return Flow(
            source=self.source,
            destination=self.to,
            protocol=self.protocol,
            port=self.port,
            source_port=None if icmp else number,
            icmp_type=self.kind if icmp else None,
            icmp_code=self.code if icmp else None,
        )

    def key(self, number: int) -> Key:
        """What a log message of this packet has."""
        details = (self.kind, self.code) if self.protocol in ICMPS else (number, self.port)
        return (self.source, self.to, self.protocol, *details)


@dataclass(frozen=True)
class Difference:
    """One packet that the kernel judged otherwise."""

    attempt: Attempt
    wanted: frozenset[Decision]
    seen: frozenset[Decision]


def send(bed: Bed, attempt: Attempt, number: int) -> None:
    """One packet. What the node drops of itself is EPERM."""
    with bed.make(attempt.who, attempt.version, _kind(attempt), _raw(attempt)) as made:
        made.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError, PermissionError):
            if _raw(attempt):
                made.bind((attempt.source, 0))
                made.sendto(_packet(attempt, number), (attempt.to, 0))
                return
            made.bind((attempt.source, number))
            made.connect((attempt.to, attempt.port))
            made.send(b"?")


def _raw(attempt: Attempt) -> int:
    return attempt.protocol if attempt.protocol in (*ICMPS, 132, 136) else 0


def _kind(attempt: Attempt) -> int:
    if _raw(attempt):
        return socket.SOCK_RAW
    return socket.SOCK_STREAM if attempt.protocol == 6 else socket.SOCK_DGRAM


def _packet(attempt: Attempt, number: int) -> bytes:
    if attempt.protocol == 132:
        return sctp_init(number, attempt.port)
    if attempt.protocol == 136:
        return udplite(attempt.source, attempt.to, number, attempt.port)
    header = struct.pack("!BBHHH", attempt.kind, attempt.code, 0, number, 1)
    if attempt.version == 6:  # the kernel fills its checksum in
        return header
    return struct.pack("!BBHHH", attempt.kind, attempt.code, checksum(header), number, 1)


def key_of(event: KernelEvent) -> Key:
    """The key of what was logged."""
    packet = event.packet
    if packet.icmp_type is not None:
        return (packet.source, packet.destination, packet.protocol, packet.icmp_type, packet.icmp_code or 0)
    return (packet.source, packet.destination, packet.protocol, packet.source_port, packet.destination_port)


class Early:
    """Which rules of a node's host endpoints act before all others: before conntrack, before DNAT."""

    def __init__(self, state: NodeState) -> None:
        self._hosts = {endpoint.id for endpoint in state.endpoints.values() if endpoint.host}
        self._rules = {
            rule.id: policy
            for policy in state.policies.values()
            for rule in (*policy.ingress, *policy.egress)
        }
        self._lacking = {  # a tier that lacks a policy says no at once
            tier.default_id
            for host in self._hosts
            for tier in state.endpoints[host].ingress
            if not state.policies.keys() >= set(tier.policies)
        }

    def in_order(self, layers: Iterable[Layer]) -> list[Decision]:
        """The decisions as a packet meets them."""
        early: list[Decision] = []
        late: list[Decision] = []
        for layer in layers:
            way = layer.layer.removeprefix("forward-")
            host = way == "ingress" and layer.endpoint in self._hosts
            for rule in layer.logged:
                (early if host and self._early(rule) else late).append((way, Action.LOG, rule))
            decided = early if host and self._early(layer.rule) else late
            decided.append((way, layer.verdict, layer.rule))
        return early + late

    def _early(self, rule: str) -> bool:
        policy = self._rules.get(rule)
        return rule in self._lacking if policy is None else _acts_early(policy)


def _acts_early(policy: PolicyProgram) -> bool:
    return policy.pre_dnat or policy.do_not_track


def wanted(decisions: Iterable[Decision]) -> frozenset[Decision]:
    """What the log must hold: everything that a rule says, until one denies and the packet is gone."""
    found = set()
    for way, verdict, rule in decisions:
        if rule:
            found.add((way, verdict, rule))
        if verdict is Action.DENY:
            break
    return frozenset(found)


class Judge:
    """A kernel post in a bed's node, its log, and its connections."""

    def __init__(self, bed: Bed) -> None:
        logging = Logging(group=GROUP, rate=1_000_000, burst=1_000_000)
        lifeline = (Failsafe(6, 22),)  # no attempt is about it: what the evaluator does not know of
        chosen = Settings(logging=logging, failsafes=Failsafes(lifeline, lifeline))
        self.bed = bed
        self.post = bed.in_node(lambda: KernelPost(chosen, Nft()))
        self._log = bed.in_node(lambda: KernelLog(GROUP, self.post.owners, self.post.long_ids))
        self._conntrack = bed.in_node(Conntrack)

    def close(self) -> None:
        """Let go of the kernel."""
        self._log.close()
        self._conntrack.close()
        self.post.close()

    def settle(self, state: NodeState, *, reject: bool) -> None:
        """Enforce a state; what the kernel holds then is what it would hold from scratch."""
        self.post.settings = replace(self.post.settings, reject=reject)
        self.post.sync(state, state.revision)
        # the difference from what was before has led to exactly this
        assert self.post.verify(thorough=True) == ()
        assert self.post.rendered is not None
        assert self.post.rendered.table == render(state, self.post.settings, own=self.post.own).table

    def differences(self, state: NodeState, tried: Iterable[Attempt], layers: Layers) -> list[Difference]:
        """Send every packet; those that the kernel judges otherwise than `layers`."""
        for connection in self._conntrack.connections():
            self._conntrack.end(connection)
        while self._log.read():
            pass
        early = Early(state)
        attempts: dict[Key, Attempt] = {}
        expected: dict[Key, frozenset[Decision]] = {}
        for attempt in tried:
            number = 2000 + (next(_numbers) % 50000)
            key = attempt.key(number)
            if key in attempts:
                continue  # ICMP packets of a kind look alike in the log
            attempts[key] = attempt
            expected[key] = wanted(early.in_order(layers(attempt.flow(number))))
            send(self.bed, attempt, number)
        seen = self._seen(expected)
        assert self._log.lost == 0
        return [
            Difference(attempt, expected[key], seen[key])
            for key, attempt in attempts.items()
            if seen[key] != expected[key]
        ]

    def _seen(self, expected: dict[Key, frozenset[Decision]]) -> dict[Key, frozenset[Decision]]:
        """What the log says of these packets, once it says as much as is expected or nothing more comes."""
        seen: dict[Key, frozenset[Decision]] = dict.fromkeys(expected, frozenset())

        def all_decided() -> bool:
            for event in self._log.read():
                key = key_of(event)
                if not event.staged and key in seen:
                    seen[key] |= {(str(event.direction), event.verdict, event.rule)}
            return all(len(seen[key]) >= len(expected[key]) for key in expected)

        with contextlib.suppress(AssertionError):
            until(all_decided, QUIET_SECONDS)
        return seen
