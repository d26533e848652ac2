"""What the dialects share: protocol numbers, port ranges, where an object was written."""

from __future__ import annotations

from tsujiban.policy.program import Origin, PortRange
from tsujiban.resources import protocols
from tsujiban.resources.load import LoadedObject

KUBE_ADMIN, DEFAULT, KUBE_BASELINE = "kube-admin", "default", "kube-baseline"


class Place:
    """Where an object was written, and where its fields were (`spec.ingress[0]`)."""

    __slots__ = ("_loaded",)

    def __init__(self, loaded: LoadedObject | None = None) -> None:
        self._loaded = loaded

    def origin(self, field: str = "") -> Origin:
        """The origin of the object, or of one of its fields."""
        if self._loaded is None or not self._loaded.file:
            return Origin()
        return Origin(file=self._loaded.file, line=self._loaded.line(field))


NOWHERE = Place()


def protocol_number(protocol: int | str) -> int:
    """IANA number of a protocol's name or number. Raises ValueError for what is none."""
    number = protocols.number(protocol)
    if number is None:
        raise ValueError(f"unknown protocol {protocol!r}")
    return number


def port_range(first: int, last: int | None = None) -> PortRange:
    """A range, or one port."""
    return PortRange(first=first, last=first if last is None else last)
