"""What happens once a rule has matched: count under its id, write the log, decide.

Each (verdict, direction, rule id) has one chain, shared by all places where that rule stands, so
that one rule of a user's has one counter and one log rate limit however many nftables rules it
needs. The limit stands on the log alone: a verdict never depends on it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from tsujiban.kernel.names import COMMENT_BYTES, PREFIX_BYTES, name, written
from tsujiban.kernel.table import Chain, Table
from tsujiban.policy.program import Direction

# A bit of the packet mark, only ever set while a packet is in our chains, and cleared on entry:
# a rule passed, so the tier is left.
_PASS = 1 << 30
CLEAR = f"meta mark set meta mark & {0xFFFFFFFF ^ _PASS:#x}"
TEST_PASS = f"meta mark & {_PASS:#x} == {_PASS:#x}"


class Letter(StrEnum):
    """Verdicts as they stand in log prefixes: capitals are enforced, the others staged."""

    ALLOW = "A"
    DENY = "D"
    NEXT = "P"  # pass: the next tier
    LOG = "L"
    STAGED_ALLOW = "a"
    STAGED_DENY = "d"
    STAGED_NEXT = "p"
    STAGED_LOG = "l"


LOGGED = frozenset(Letter) - {Letter.NEXT, Letter.STAGED_NEXT}
_GOES_ON = (Letter.LOG, Letter.STAGED_LOG)
_FINAL = {
    Letter.ALLOW: "accept",
    Letter.DENY: "drop",
    Letter.NEXT: f"meta mark set meta mark | {_PASS:#x} return",
}


class RuleKey(NamedTuple):
    """What is counted and logged."""

    letter: Letter
    direction: Direction
    rule: str


class Logging(NamedTuple):
    """Where log messages go and how many a second of each rule may be written."""

    group: int = 5
    rate: int = 200
    burst: int = 400
    allowed: bool = True  # allowed connections are logged too


class Verdicts:
    """The verdict chains and counters of one table, and whose they are."""

    def __init__(self, table: Table, logging: Logging) -> None:
        self._table = table
        self._logging = logging
        self.keys: dict[str, RuleKey] = {}  # by counter name
        self.long_ids: dict[str, str] = {}  # rule ids by what stands for them in a prefix

    def goto(self, letter: Letter, direction: Direction, rule: str) -> str:
        """The statement that ends a rule with this verdict (a `jump` for Log, which goes on)."""
        key = RuleKey(letter, direction, rule)
        chain = name("verdict", *key)
        if chain not in self._table.chains:
            final = _FINAL.get(letter, "return")
            self._table.add(Chain(chain, (self.count(key), *self._log(key), final)))
        return f"{'jump' if letter in _GOES_ON else 'goto'} {chain}"

    def count(self, key: RuleKey) -> str:
        """The statement that counts a packet under `key`."""
        counter = name("count", *key)
        self._table.counters[counter] = written(key.rule, COMMENT_BYTES)
        self.keys[counter] = key
        return f'counter name "{counter}"'

    def _log(self, key: RuleKey) -> tuple[str, ...]:
        if key.letter not in LOGGED or (key.letter is Letter.ALLOW and not self._logging.allowed):
            return ()
        start = f"{key.letter}|{key.direction}|"
        shown = written(key.rule, PREFIX_BYTES - len(start))
        if shown != key.rule:
            self.long_ids[shown] = key.rule
        rate = f"limit rate {self._logging.rate}/second burst {self._logging.burst} packets"
        return (f'{rate} log prefix "{start}{shown}" group {self._logging.group} snaplen 128',)
