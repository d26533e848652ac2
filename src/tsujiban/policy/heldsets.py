"""The sets that rules refer to: made when the first rule asks, kept full, gone with the last one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from tsujiban.policy import services
from tsujiban.policy.definitions import SetDefinition, SetKind
from tsujiban.policy.index import LabelIndex
from tsujiban.policy.inforce import Selecting, Selector
from tsujiban.policy.items import Item
from tsujiban.policy.members import AnyMember, SetState
from tsujiban.policy.population import Key, Population
from tsujiban.policy.program import Member, ServiceMember
from tsujiban.resources.kinds import core
from tsujiban.resources.kinds.meta import Object

_OF_SERVICES = (SetKind.SERVICE, SetKind.SERVICE_ADDRESSES)


class HeldSets:
    """Sets by id. `note` is told the id of each that changed, came or went."""

    def __init__(
        self,
        population: Population,
        index: LabelIndex[Selector],
        node_index: LabelIndex[Selector],
        note: Callable[[str], None],
    ) -> None:
        self._population, self._index, self._node_index = population, index, node_index
        self._note = note
        self.states: dict[str, SetState] = {}
        self._slices: dict[str, dict[Key, core.EndpointSlice]] = defaultdict(dict)
        self._of_service: dict[str, set[str]] = defaultdict(set)

    def acquire(self, name: str, definition: SetDefinition) -> None:
        """One more rule refers to a set."""
        state = self.states.get(name)
        if state is None:
            state = self.states[name] = SetState(definition)
            self._fill(name, state)
            self._note(name)
        state.users += 1

    def release(self, name: str) -> None:
        """One rule less refers to a set."""
        state = self.states[name]
        state.users -= 1
        if state.users:
            return
        del self.states[name]
        self._note(name)
        definition = state.definition
        if definition.kind in _OF_SERVICES:
            users = self._of_service[definition.name]
            users.discard(name)
            if not users:
                del self._of_service[definition.name]
        else:
            self._index_of(definition).remove_selector((Selecting.SET, name))

    def move(self, selectors: Iterable[Selector], old: Item | None, new: Item | None) -> None:
        """In every set among the selectors, put one item's members in the place of another's."""
        for what, name in selectors:
            if what is not Selecting.SET:
                continue
            state = self.states[name]
            changed = new is not None and state.add(_members(new, state.definition))
            if old is not None and state.remove(_members(old, state.definition)):
                changed = True
            if changed:
                self._note(name)

    # ------------------------------------------------------------------ services

    def change_slice(self, key: Key, old: Object | None, new: Object | None) -> Iterator[str]:
        """Take in a changed EndpointSlice; the services that it is about, before and after."""
        if isinstance(old, core.EndpointSlice):
            service = services.service_of(old)
            self._slices[service].pop(key, None)
            yield service
        if isinstance(new, core.EndpointSlice):
            service = services.service_of(new)
            self._slices[service][key] = new
            yield service

    def slices(self, service: str) -> list[core.EndpointSlice]:
        """The EndpointSlices of a service."""
        return list(self._slices.get(service, {}).values())

    def refill(self, service: str) -> None:
        """Bring the sets of a service to what its slices say."""
        for name in self._of_service.get(service, ()):
            state = self.states[name]
            before, after = set(state.counts), set(self._service_members(state.definition))
            state.add(after - before)
            state.remove(before - after)
            if before != after:
                self._note(name)
        if not self._slices.get(service):
            self._slices.pop(service, None)

    # ------------------------------------------------------------------ members

    def _fill(self, name: str, state: SetState) -> None:
        definition = state.definition
        if definition.kind in _OF_SERVICES:
            self._of_service[definition.name].add(name)
            state.add(self._service_members(definition))
            return
        items = self._population.items
        found = self._index_of(definition).add_selector((Selecting.SET, name), definition.selector.node)
        for item in found:
            state.add(_members(items[item], definition))
        state.forget_history()

    def _index_of(self, definition: SetDefinition) -> LabelIndex[Selector]:
        return self._node_index if definition.kind is SetKind.NODES else self._index

    def _service_members(self, definition: SetDefinition) -> Iterable[AnyMember]:
        slices = self.slices(definition.name)
        if definition.kind is SetKind.SERVICE:
            return services.service_members(slices)
        return frozenset(Member(net=address) for address in services.service_addresses(slices))


def _members(item: Item, definition: SetDefinition) -> tuple[AnyMember, ...]:
    """What an item that is selected brings to a set."""
    if definition.kind is not SetKind.NAMED_PORT:
        return item.members
    return tuple(
        ServiceMember(address=address, protocol=protocol, port=port)
        for name, protocol, port in item.named_ports
        if name == definition.name and definition.protocol in (0, protocol)
        for address in item.addresses
    )
