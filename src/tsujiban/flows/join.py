"""One connection, told by both posts on both nodes, as one story. Pure.

A connection between two sidecars has the same five-tuple for the kernel at its source, the kernel
at its destination and the proxy at its destination; so the five-tuple joins their records, and
time tells apart two connections that used the same ports one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

from tsujiban.flows.record import FlowRecord

F = TypeVar("F", bound=FlowRecord)

REUSE_NS = 60 * 10**9  # a kernel record this long after the last one begins a new connection


class FiveTuple(NamedTuple):
    """What names a connection on the wire."""

    protocol: int
    source: str
    source_port: int
    destination: str
    destination_port: int


class Connection(NamedTuple, Generic[F]):
    """All records of one connection, each tuple in order of time."""

    key: FiveTuple
    kernel: tuple[F, ...]
    proxy: tuple[F, ...]

    @property
    def records(self) -> tuple[F, ...]:
        """Of both posts, in order of time; the kernel's first where times are equal."""
        return tuple(sorted(self.kernel + self.proxy, key=_time))

    @property
    def verdict(self) -> str:
        """`deny` when the kernel, or the proxy every time, denied; `partial` when the proxy denied some
        requests and allowed others; otherwise `allow`."""
        proxied = {record.verdict for record in self.proxy}
        if (proxied and "allow" not in proxied) or any(record.verdict != "allow" for record in self.kernel):
            return "deny"
        return "partial" if proxied - {"allow"} else "allow"

    @property
    def deciding(self) -> F:
        """The first record that denied; when none did, the last one."""
        records = self.records
        return next((record for record in records if record.verdict != "allow"), records[-1])

    @property
    def peer(self) -> str:
        """The authenticated client, as far as a proxy saw one."""
        return next((record.peer for record in self.proxy if record.peer), "")


def join_records(flows: Iterable[F]) -> list[Connection[F]]:
    """The connections that `flows` (in any order) tell of, in order of their first record."""
    finished: list[list[F]] = []
    open_: dict[FiveTuple, list[F]] = {}
    for flow in sorted(flows, key=_time):
        key = five_tuple(flow)
        records = open_.get(key)
        if records is None or (flow.post == "kernel" and flow.time_ns - records[-1].time_ns > REUSE_NS):
            records = open_[key] = []
            finished.append(records)
        records.append(flow)
    return [
        Connection(
            five_tuple(records[0]),
            tuple(record for record in records if record.post == "kernel"),
            tuple(record for record in records if record.post != "kernel"),
        )
        for records in finished
    ]


def five_tuple(flow: FlowRecord) -> FiveTuple:
    """The connection that a record is about."""
    return FiveTuple(flow.protocol, flow.source, flow.source_port, flow.destination, flow.destination_port)


def _time(flow: FlowRecord) -> tuple[int, bool]:
    return flow.time_ns, flow.post != "kernel"
