"""What this room asks of a flow record; `wire.messages.Flow` has it all.

Structural, because the message lives above this room and the room needs nothing else of the wire.
"""

from __future__ import annotations

from typing import Protocol


class FlowRecord(Protocol):
    """One flow as one post saw it; the fields mean what they mean in `wire.messages.Flow`."""

    @property
    def time_ns(self) -> int:
        """UNIX nanoseconds."""

    @property
    def post(self) -> str:
        """`kernel` or `proxy`."""

    @property
    def direction(self) -> str:
        """`ingress` or `egress`, seen from `endpoint`."""

    @property
    def endpoint(self) -> str:
        """namespace/name of the endpoint whose program decided."""

    @property
    def verdict(self) -> str:
        """`allow` or `deny`."""

    @property
    def rule(self) -> str:
        """Id of the rule that decided."""

    @property
    def source(self) -> str:
        """Address."""

    @property
    def source_port(self) -> int:
        """Port."""

    @property
    def destination(self) -> str:
        """Address."""

    @property
    def destination_port(self) -> int:
        """Port."""

    @property
    def protocol(self) -> int:
        """IANA number."""

    @property
    def peer(self) -> str:
        """Authenticated SPIFFE ID, or empty."""
