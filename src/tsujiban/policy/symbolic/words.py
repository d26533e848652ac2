"""The strings that patterns can tell apart: one shortest witness for every combination.

Rules speak about methods, paths, hosts and headers with exact values, prefixes, suffixes and
templates. All patterns together run as one automaton with a bit for every position; walking its
reachable states finds every combination of patterns that some string satisfies, and no other. That
is what makes the answer exact rather than sampled: a combination without a string does not exist.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence

from tsujiban.policy.program import PathMatch, StringMatch

MAX_STATES = 100_000
"""Most states of one automaton; patterns that need more are refused."""

Universe = Callable[[int, str], int | None]
"""Which strings there are: the next state, or None for none. 0 is the start; odd states are ends."""


class TooManyDistinctions(ValueError):
    """The policies tell apart more than can be counted in bounded time and memory."""


_ANY, _SEGMENT = "any", "segment"
Element = tuple[str, str]  # kind of the character that leads on ("" is literal), the literal
Pattern = tuple[tuple[Element, ...], dict[int, str]]  # elements; loops by position


def of_match(match: StringMatch, *, fold: bool = False) -> Pattern:
    """The pattern of one of Istio's value forms."""

    def literal(text: str) -> tuple[Element, ...]:
        return tuple(("", c) for c in (text.lower() if fold else text))

    if match.present:
        return ((_ANY, ""),), {1: _ANY}
    if match.template is not None:
        return _template(match.template)
    if match.exact is not None:
        return literal(match.exact), {}
    if match.prefix is not None:
        elements = literal(match.prefix)
        return elements, {len(elements): _ANY}
    return literal(match.suffix or ""), {0: _ANY}


def of_path(path: PathMatch) -> list[Pattern]:
    """The patterns of a network policy's path clause, also with the slash that Envoy keeps."""
    text = path.exact if path.exact is not None else path.prefix or "/"
    bare = text.rstrip("/")
    plain, below = tuple(("", c) for c in (bare or "/")), tuple(("", c) for c in bare + "/")
    if path.exact is not None:
        return [(plain, {}), (below, {})]
    return [(plain, {}), (below, {len(below): _ANY})]


def _template(text: str) -> Pattern:
    elements: list[Element] = []
    loops: dict[int, str] = {}
    for segment in text[1:].split("/"):
        elements.append(("", "/"))
        if segment == "{*}":
            elements.append((_SEGMENT, ""))
            loops[len(elements)] = _SEGMENT
        elif segment == "{**}":
            loops[len(elements)] = _ANY
        else:
            elements += [("", c) for c in segment]
    return tuple(elements), loops


def words_of(match: StringMatch) -> str:
    """A value form as Istio writes it."""
    if match.present:
        return "*"
    if match.prefix is not None:
        return f"{match.prefix}*"
    if match.suffix is not None:
        return f"*{match.suffix}"
    return match.template if match.template is not None else match.exact or ""


def anything(state: int, character: str) -> int | None:
    """All strings."""
    return 1


def something(state: int, character: str) -> int | None:
    """All strings but the empty one."""
    return 1


def word(state: int, character: str) -> int | None:
    """Strings without a slash or a space."""
    return None if character in "/ " else 1


def request_path(state: int, character: str) -> int | None:
    """Normal forms of request paths (`policy.authorize.request_path`).

    States: 0 start, 1 after a slash, 2 after `/.`, 4 after `/..`, 3 inside a segment; 5 and 7 after
    a percent sign and one digit of an escape.
    """
    if state == 0:
        return 1 if character == "/" else None
    if character in "\\;" or character < " " or character == "\x7f":
        return None
    if character == "/":
        return 1 if state in (3, 5, 7) else None  # no empty and no dot segments
    if character == "%":
        return 5
    if state in (5, 7) and character in "0123456789abcdefABCDEF":
        return 7 if state == 5 else None  # what could be decoded again is ambiguous
    if character == "." and state in (1, 2):
        return 2 if state == 1 else 4
    return 3


class Words:
    """The strings of a universe, as patterns tell them apart."""

    def __init__(self, patterns: Sequence[Pattern], universe: Universe = anything) -> None:
        self._automaton = _Automaton(patterns)
        self._start = self._automaton.start()
        self._universe = universe

    def combination(self, text: str) -> int:
        """Which patterns a string satisfies, as a bitmap."""
        live = self._start
        for character in text:
            live = self._automaton.step(live, character)
        return self._automaton.accepted(live)

    def witnesses(self) -> dict[int, str]:
        """For every combination of patterns that some string satisfies, a shortest one.

        Raises TooManyDistinctions.
        """
        automaton = self._automaton
        queue = deque([(self._start, 0, "")])
        seen = {(self._start, 0)}
        found: dict[int, str] = {}
        while queue:
            live, state, text = queue.popleft()
            if state & 1 or (self._universe is anything and not text):
                found.setdefault(automaton.accepted(live), text)
            for character in automaton.characters(live):
                onward = self._universe(state, character)
                if onward is None:
                    continue
                step = (automaton.step(live, character), onward)
                if step not in seen:
                    if len(seen) >= MAX_STATES:
                        raise TooManyDistinctions("too many patterns overlap in one clause")
                    seen.add(step)
                    queue.append((*step, text + character))
        return found


class _Automaton:
    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._literal: dict[int, str] = {}
        self._by_character: dict[str, int] = defaultdict(int)
        self._leads = {_ANY: 0, _SEGMENT: 0}
        self._loops = {_ANY: 0, _SEGMENT: 0}
        self._starts: list[int] = []
        self._ends: list[int] = []
        at = 0
        for elements, loops in patterns:
            self._starts.append(at)
            for offset, (kind, character) in enumerate(elements):
                if kind:
                    self._leads[kind] |= 1 << (at + offset)
                else:
                    self._by_character[character] |= 1 << (at + offset)
                    self._literal[at + offset] = character
            for offset, kind in loops.items():
                self._loops[kind] |= 1 << (at + offset)
            at += len(elements)
            self._ends.append(at)
            at += 1
        self._literals = sum(1 << bit for bit in self._literal)
        taken = set(self._by_character)
        self._fresh = next(
            c for c in (*"xyzabcdefghijklmnopqrstuvw", *map(chr, range(0x3041, 0xD7FF))) if c not in taken
        )

    def start(self) -> int:
        return sum(1 << begin for begin in self._starts)

    def step(self, live: int, character: str) -> int:
        leads = self._by_character.get(character, 0) | self._leads[_ANY]
        loops = self._loops[_ANY]
        if character != "/":
            leads |= self._leads[_SEGMENT]
            loops |= self._loops[_SEGMENT]
        return ((live & leads) << 1) | (live & loops)

    def accepted(self, live: int) -> int:
        return sum(1 << index for index, end in enumerate(self._ends) if live >> end & 1)

    def characters(self, live: int) -> list[str]:
        """Those that can make a difference, the one that stands for all others first."""
        found = set()
        rest = live & self._literals
        while rest:
            bit = rest & -rest
            rest ^= bit
            found.add(self._literal[bit.bit_length() - 1])
        found.discard(self._fresh)
        return [self._fresh, *sorted(found | {"/"})]
