"""Which nftables sets a table needs: those that its rules ask for, and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from tsujiban.kernel.elements import (
    AddressElements,
    Elements,
    ServiceElements,
    network_elements,
    number_elements,
)
from tsujiban.kernel.names import name
from tsujiban.kernel.table import Set, Table
from tsujiban.policy.program import NodeState, PortRange

ADDRESS = {4: "ipv4_addr", 6: "ipv6_addr"}


def triple_type(version: int) -> str:
    """nft's type of (address, protocol, port)."""
    return f"{ADDRESS[version]} . inet_proto . inet_service"


def address_set_name(held: AddressElements, set_id: str, version: int) -> str:
    """Another name when it holds networks: a set cannot change its kind, its users can."""
    return name(f"{'nets' if held.interval else 'hosts'}{version}", set_id)


class SetMemory:
    """Elements of the state's sets, kept between renderings so that only differences cost."""

    def __init__(self) -> None:
        self.addresses: dict[str, AddressElements] = {}
        self.services: dict[str, ServiceElements] = {}
        self.constants: dict[tuple[str, tuple[Any, ...]], Set] = {}

    def forget(self, state: NodeState) -> None:
        """Drop what `state` no longer holds."""
        for known, held in ((self.addresses, state.sets), (self.services, state.service_sets)):
            for gone in known.keys() - held.keys():
                del known[gone]


class TableSets:
    """Makes the sets that rules ask for part of `table`. Implements `clauses.Sets`."""

    def __init__(self, state: NodeState, table: Table, memory: SetMemory) -> None:
        self._state = state
        self._table = table
        self._memory = memory
        self._asked: dict[tuple[str, int], str] = {}
        self._current: dict[str, AddressElements | None] = {}

    def addresses(self, set_id: str, version: int) -> str | None:
        """Members of an AddressSet; None when the state does not hold it."""
        known = self._asked.get((set_id, version))
        if known:
            return known
        held = self._addresses(set_id)
        if held is None:
            return None
        made = Set(
            name=address_set_name(held, set_id, version),
            type=ADDRESS[version],
            elements=held.elements(version),
            interval=held.interval,
        )
        return self._asked.setdefault((set_id, version), self._table.add(made))

    def hosts(self, set_id: str) -> AddressElements | None:
        """The addresses of an AddressSet that holds nothing else; None when it does, or is not there."""
        held = self._addresses(set_id)
        return None if held is None or held.interval else held

    def _addresses(self, set_id: str) -> AddressElements | None:
        """What an AddressSet is in the kernel, brought up to date once a rendering."""
        if set_id in self._current:
            return self._current[set_id]
        found = self._state.sets.get(set_id)
        held = self._memory.addresses.get(set_id)
        if found is None:
            held = None
        else:
            if held is None:
                held = self._memory.addresses[set_id] = AddressElements()
            held.update(found)
        self._current[set_id] = held
        return held

    def services(self, set_id: str, version: int) -> str | None:
        """Members of a ServiceSet; None when the state does not hold it."""
        if set_id not in self._state.service_sets:
            return None
        held = self._memory.services.get(set_id)
        if held is None:
            held = self._memory.services[set_id] = ServiceElements()
        held.update(self._state.service_sets[set_id])
        elements = held.elements(version)
        return self._table.add(Set(name(f"ports{version}", set_id), triple_type(version), elements))

    def networks(self, nets: Iterable[str], version: int) -> str:
        """A constant set of CIDRs."""
        parts = tuple(nets)
        return self._constant(
            f"cidrs{version}", parts, ADDRESS[version], lambda: network_elements(parts, version)
        )

    def ports(self, ranges: Iterable[PortRange]) -> str:
        """A constant set of port ranges."""
        parts = tuple((ports.first, ports.last) for ports in ranges)
        return self._constant("ranges", parts, "inet_service", lambda: number_elements(parts))

    def protocols(self, numbers: Iterable[int]) -> str:
        """A constant set of protocols."""
        parts = tuple(sorted(numbers))
        return self._constant("protocols", parts, "inet_proto", lambda: {str(number): "" for number in parts})

    def _constant(self, kind: str, parts: tuple[Any, ...], of: str, elements: Callable[[], Elements]) -> str:
        """Constant sets are called by their content: equal ones are one, and none ever changes."""
        known = self._memory.constants.get((kind, parts))
        if known is None:
            content = elements()
            known = Set(name(kind, *sorted(content)), of, content, interval=kind != "protocols")
            self._memory.constants[kind, parts] = known
        return self._table.add(known)


class Recorder:
    """Passes questions on and remembers them with their answers. Implements `clauses.Sets`."""

    def __init__(self, sets: TableSets) -> None:
        self._sets = sets
        self.asked: list[tuple[str, tuple[Any, ...], str | None]] = []

    def _ask(self, what: str, *arguments: Any) -> Any:
        answer = ask(self._sets, what, arguments)
        self.asked.append((what, arguments, answer))
        return answer

    def addresses(self, set_id: str, version: int) -> str | None:
        """See TableSets."""
        return cast(str | None, self._ask("addresses", set_id, version))

    def services(self, set_id: str, version: int) -> str | None:
        """See TableSets."""
        return cast(str | None, self._ask("services", set_id, version))

    def networks(self, nets: Iterable[str], version: int) -> str:
        """See TableSets."""
        return cast(str, self._ask("networks", tuple(nets), version))

    def ports(self, ranges: Iterable[PortRange]) -> str:
        """See TableSets."""
        return cast(str, self._ask("ports", tuple(ranges)))

    def protocols(self, numbers: Iterable[int]) -> str:
        """See TableSets."""
        return cast(str, self._ask("protocols", tuple(numbers)))


def ask(sets: TableSets, what: str, arguments: tuple[Any, ...]) -> str | None:
    """One of the questions of `clauses.Sets`, by its name."""
    return cast(str | None, getattr(sets, what)(*arguments))
