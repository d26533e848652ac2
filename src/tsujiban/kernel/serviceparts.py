"""The elements of all services for one IP version, kept by differences.

A cluster has thousands of services with tens of thousands of backends, and a change is about one of
them. So what each service adds is remembered, and only what the changed ones add is taken
out and put in; the mappings say what changed between their versions (`policy.versions`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tsujiban.kernel.elements import canonical, triple
from tsujiban.policy.program import ServiceProgram
from tsujiban.policy.versions import Versioned

REFUSE = "refuse"

Elements = Versioned[str, str]


@dataclass(frozen=True)
class Part:
    """What one service adds for one IP version."""

    virtual: frozenset[str] = frozenset()
    services: Mapping[str, str] = field(default_factory=dict)  # verdict by (address, protocol, port)
    slots: tuple[Mapping[str, str], ...] = ()  # backend by the same key, in each slot
    backends: frozenset[str] = frozenset()  # addresses


def part(service: ServiceProgram, version: int, kept: frozenset[str]) -> Part:
    """The part of `service`. Virtual addresses in `kept` are left alone. Raises ValueError for an
    address that is none."""
    addresses = {canonical(address) for address in service.addresses} - kept
    virtual = sorted(address for address in addresses if is_of(address, version))
    services: dict[str, str] = {}
    slots: list[dict[str, str]] = []
    every: set[str] = set()
    for port in service.ports:
        backends = [
            (canonical(one.address), one.port) for one in port.backends if is_of(one.address, version)
        ]
        every.update(address for address, _ in backends)
        for address in virtual:
            key = triple(address, port.protocol, port.port)
            while len(slots) < len(backends):
                slots.append({})
            for slot, (backend, number) in enumerate(backends):
                slots[slot][key] = f"{backend} . {number:d}"
            services[key] = f"goto pick{len(backends)}" if backends else f"goto {REFUSE}"
    return Part(frozenset(virtual), services, tuple(slots), frozenset(every))


def is_of(address: str, version: int) -> bool:
    """Whether an address is of that IP version."""
    return (":" in address) == (version == 6)


class Parts:
    """The parts of all services, put together. Of one that claims what another has, the later counts."""

    def __init__(self) -> None:
        self._parts: dict[str, Part] = {}
        self._virtual: Counter[str] = Counter()
        self._claims: Counter[str] = Counter()
        self._contested = 0  # keys that several services claim
        self._depths: Counter[int] = Counter()  # how many services have that many slots
        self.backends: Counter[str] = Counter()  # how many services an address stands behind
        self.virtual: Elements = Versioned()
        self.services: Elements = Versioned()
        self.slots: list[Elements] = []

    def change(self, changes: Mapping[str, Part | None], order: Iterable[str]) -> None:
        """Take over changed parts by service; None has gone. `order` is that of all services now."""
        changes = {name: new for name, new in changes.items() if new != self._parts.get(name)}
        if not changes:
            return
        old = [self._parts.pop(name) for name in changes if name in self._parts]
        new = {name: one for name, one in changes.items() if one is not None}
        self._parts.update(new)
        contested = self._contested > 0
        for one in old:
            self._count(one, -1)
        for one in new.values():
            self._count(one, +1)
        self._change_virtual(old, new.values())
        if contested or self._contested:
            self._start_over(order)
        else:
            self._change_slots(old, list(new.values()))

    def _count(self, one: Part, by: int) -> None:
        self._depths[len(one.slots)] += by
        for table, keys in (
            (self._virtual, one.virtual),
            (self.backends, one.backends),
            (self._claims, one.services),
        ):
            for key in keys:
                before = table[key]
                table[key] += by
                if not table[key]:
                    del table[key]
                if table is self._claims:
                    self._contested += (before + by > 1) - (before > 1)

    def _change_virtual(self, old: Iterable[Part], new: Iterable[Part]) -> None:
        touched = frozenset().union(*(one.virtual for one in (*old, *new)))
        come = dict.fromkeys(touched & self._virtual.keys(), "")
        self.virtual = self.virtual.changed(touched - self._virtual.keys(), come)

    def _change_slots(self, old: list[Part], new: list[Part]) -> None:
        self.services = _exchanged(
            self.services, [one.services for one in old], [one.services for one in new]
        )
        depth = max((depth for depth, users in self._depths.items() if users), default=0)
        self.slots = self.slots[:depth]
        while len(self.slots) < depth:
            self.slots.append(Versioned())
        for slot in range(depth):
            gone = [one.slots[slot] for one in old if len(one.slots) > slot]
            come = [one.slots[slot] for one in new if len(one.slots) > slot]
            if gone or come:
                self.slots[slot] = _exchanged(self.slots[slot], gone, come)

    def _start_over(self, order: Iterable[str]) -> None:
        """Put everything together anew, in the order that decides who is later."""
        services: dict[str, str] = {}
        slots: list[dict[str, str]] = []
        for name in order:
            one = self._parts.get(name, Part())
            services.update(one.services)
            while len(slots) < len(one.slots):
                slots.append({})
            for slot, elements in enumerate(one.slots):
                slots[slot].update(elements)
        self.services = Versioned(services)
        self.slots = [Versioned(elements) for elements in slots]


def _exchanged(
    table: Elements, old: Iterable[Mapping[str, str]], new: Iterable[Mapping[str, str]]
) -> Elements:
    gone = [key for elements in old for key in elements]
    come = {key: value for elements in new for key, value in elements.items()}
    return table.changed(gone, come)
