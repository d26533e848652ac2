"""Addresses as the chains ask about them: which sets they are in, and whose they are.

Looked up once per end, because a flow's ends are what differs most between flows. Sets are
numbers here, so that a membership is one look-up; what is more than one set (networks,
negations, sets with networks in them) is a condition, tried once per end.
"""

from __future__ import annotations

from collections import defaultdict

from tsujiban.policy.addresses import canonical, contains, is_host
from tsujiban.policy.clauses import in_address_set
from tsujiban.policy.program import Frozen, Side
from tsujiban.policy.world import World

NO_SETS: frozenset[int] = frozenset()


class Condition(Frozen, frozen=True):
    """What a rule asks of an address that is more than being in one set."""

    nets: tuple[str, ...] | None
    not_nets: tuple[str, ...]
    sets: tuple[str, ...]
    not_sets: tuple[str, ...]


class Place:
    """What is known of an address."""

    __slots__ = ("address", "held", "owner", "sets")

    def __init__(self, address: str, sets: frozenset[int], owner: str | None) -> None:
        self.address = address
        self.sets = sets  # numbers; the same object for all addresses that are in the same
        self.owner = owner  # the identity that its sets say it has; "" is none, None is several
        self.held: dict[int, bool] = {}  # conditions, by number


class Places:
    """Finds what is known of an address, in a world that does not change."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._numbers: dict[str, int] = {}  # of the sets that hold nothing but hosts
        self._conditions: dict[Condition, int] = {}
        self._by_number: dict[int, Condition] = {}
        self._owners: dict[str, str | None] = {}
        self._owned: set[str] = set()  # sets with networks that have an owner
        sets_of: dict[str, list[int]] = defaultdict(list)
        for name, found in world.state.sets.items():
            hosts = [member for member in found.members if is_host(member.net)]
            for member in hosts:
                if self._owners.setdefault(member.net, member.identity) != member.identity:
                    self._owners[member.net] = None
            if len(hosts) == len(found.members):
                number = self._numbers[name] = len(self._numbers)
                for member in hosts:
                    sets_of[member.net].append(number)
            elif any(member.identity for member in found.members if not is_host(member.net)):
                self._owned.add(name)
        shared: dict[frozenset[int], frozenset[int]] = {}
        self._sets: dict[str, frozenset[int]] = {}
        for address, numbers in sets_of.items():
            sets = frozenset(numbers)
            self._sets[address] = shared.setdefault(sets, sets)

    def sets(self, address: str) -> frozenset[int]:
        """The sets that an address is in, of those that hold nothing but hosts."""
        return self._sets.get(canonical(address), NO_SETS)

    def owner(self, address: str) -> str | None:
        """Whose an address is, as Place has it."""
        return self._owners.get(canonical(address), "")

    def need(self, side: Side) -> int | None:
        """The number of what a rule asks of an end's address; None: nothing. Sets are numbered
        from 0 up, conditions from -1 down. Raises LookupError for what only the definition can
        say: a set that is not there, or one where networks have owners."""
        if side.nets is None and not (side.not_nets or side.sets or side.not_sets):
            return None
        if side.nets is None and len(side.sets) == 1 and not (side.not_nets or side.not_sets):
            number = self._numbers.get(side.sets[0])
            if number is not None:
                return number
        for name in (*side.sets, *side.not_sets):
            if name not in self._world.state.sets or name in self._owned:
                raise LookupError(name)
        condition = Condition(nets=side.nets, not_nets=side.not_nets, sets=side.sets, not_sets=side.not_sets)
        number = self._conditions.get(condition)
        if number is None:
            number = self._conditions[condition] = -1 - len(self._conditions)
            self._by_number[number] = condition
        return number

    def holds(self, number: int, place: Place) -> bool:
        """Whether an address satisfies a condition; remembered in the place."""
        condition, address = self._by_number[number], place.address
        found = place.held[number] = (
            (condition.nets is None or any(contains(net, address) for net in condition.nets))
            and not any(contains(net, address) for net in condition.not_nets)
            and all(in_address_set(self._world, name, address, None) for name in condition.sets)
            and not any(in_address_set(self._world, name, address, None) for name in condition.not_sets)
        )
        return found
