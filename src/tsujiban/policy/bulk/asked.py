"""What a flow asks apart from its two ends, made once for all flows that ask the same.

A stream of millions of flows asks for a handful of ports and methods; what the chains work out
for one of them holds for the next. Requests with headers or claims are each their own.
"""

from __future__ import annotations

from typing import NamedTuple

from tsujiban.policy.flow import Flow, Request

MAX_KNOWN = 1 << 16
"""Most questions that are remembered; then all are forgotten."""

Parts = tuple[int, int, int | None, int | None, int | None, str | None, str]
"""Protocol, port, source port, ICMP type, ICMP code, peer, SNI: as in Flow."""


class Carried(NamedTuple):
    """What a chain of rules can be narrowed to once for many flows."""

    protocol: int
    port: int
    icmp_type: int | None
    icmp_code: int | None


class Asked:
    """One question: everything of a flow but its ends."""

    __slots__ = ("carried", "number", "parts", "peer", "port", "protocol", "request", "requests")

    def __init__(self, number: int, carried: Carried, parts: Parts, request: Request | None) -> None:
        self.number = number  # of what is carried: all that the chains look up; never given again
        self.carried = carried
        self.parts = parts
        self.protocol, self.port = parts[0], parts[1]
        self.peer = parts[5]
        self.request = request
        self.requests: dict[int, bool] = {}  # which HTTP clauses, by their numbers, the request satisfies

    def flow(self, source: str, here: str, destination: str, there: str) -> Flow:
        """The flow between two ends (endpoint and address of each) that asks this."""
        protocol, port, source_port, icmp_type, icmp_code, peer, sni = self.parts
        return Flow(
            source=here,
            destination=there,
            source_endpoint=source,
            destination_endpoint=destination,
            protocol=protocol,
            port=port,
            source_port=source_port,
            icmp_type=icmp_type,
            icmp_code=icmp_code,
            peer=peer,
            sni=sni,
            http=self.request,
        )


class Questions:
    """Gives equal questions the same object, and equal parts of them the same number."""

    def __init__(self) -> None:
        self._next = 0
        self._numbers: dict[Carried, int] = {}
        self._known: dict[object, Asked] = {}

    def full(self) -> bool:
        """Whether it is time to forget."""
        return len(self._known) >= MAX_KNOWN or len(self._numbers) >= MAX_KNOWN

    def forget(self) -> None:
        """Begin anew, with new numbers."""
        self._numbers.clear()
        self._known.clear()

    def ask(self, parts: Parts, request: Request | None) -> Asked:
        """The question with these parts."""
        if request is None:
            key: object = parts
        elif request.headers or request.claims is not None:
            return self._new(parts, request)
        else:
            key = (parts, request.method, request.path, request.host)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._new(parts, request)
        return found

    def _new(self, parts: Parts, request: Request | None) -> Asked:
        carried = Carried(parts[0], parts[1], parts[3], parts[4])
        number = self._numbers.get(carried)
        if number is None:
            number = self._numbers[carried] = self._next
            self._next += 1
        return Asked(number, carried, parts, request)


def parts_of(flow: Flow) -> Parts:
    """The parts of a flow's question, but for its request."""
    return (
        flow.protocol,
        flow.port,
        flow.source_port,
        flow.icmp_type,
        flow.icmp_code,
        flow.peer,
        flow.sni,
    )
