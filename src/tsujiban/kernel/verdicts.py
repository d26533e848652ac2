"""What happens once a rule has matched: count under its id, write the log, decide.

Each (verdict, direction, rule id) has one chain, shared by all places where that rule stands, so
that one rule of a user's has one counter and one log rate limit however many nftables rules it
needs. What a rule denies and logs no more its sender's own share may still let be logged (`share`). Limits
stand on the log alone: a verdict never depends on them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from tsujiban.kernel import share
from tsujiban.kernel.names import COMMENT_BYTES, PREFIX_BYTES, name, written
from tsujiban.kernel.table import Chain, Table
from tsujiban.policy.program import Direction

# Bits of the packet mark. The first is only ever set while a packet is in our chains, and cleared
# on entry: a rule passed, so the tier is left; or, in a verdict's own chain, the log has had enough of
# the sender. The others tell a later hook what an earlier one
# has decided: that an early policy of a host endpoint lets the packet in, that a pod's ingress
# program was asked.
_PASS, _ADMITTED, _JUDGED = 1 << 30, 1 << 29, 1 << 28
CLEAR = f"meta mark set meta mark & {0xFFFFFFFF ^ _PASS:#x}"
_MARK = f"meta mark set meta mark | {_PASS:#x}"
_AUDIBLE = f"meta mark & {_PASS:#x} == 0"
TEST_PASS = f"meta mark & {_PASS:#x} == {_PASS:#x}"
TEST_ADMITTED = f"meta mark & {_ADMITTED:#x} == {_ADMITTED:#x}"
JUDGED = f"meta mark set meta mark | {_JUDGED:#x}"
TEST_JUDGED = f"meta mark & {_JUDGED:#x} == {_JUDGED:#x}"
FORGED = _ADMITTED | _JUDGED
UNFORGE = f"meta mark & {FORGED:#x} != 0 meta mark set meta mark & {0xFFFFFFFF ^ FORGED:#x}"


class Station(StrEnum):
    """Where a host endpoint's program is asked: of its node's own traffic, or of what is forwarded."""

    HOST_INGRESS = "host-ingress"
    HOST_EGRESS = "host-egress"
    FORWARD_INGRESS = "forward-ingress"
    FORWARD_EGRESS = "forward-egress"


Where = Direction | Station  # a pod's program has its directions only


class Ending(StrEnum):
    """How the packet leaves the chains once it is allowed or denied."""

    PLAIN = "plain"  # accept, drop
    REFUSED = "refused"  # accept; a denial is answered (RST, ICMP)
    ADMITTED = "admitted"  # accept, and later hooks of the host endpoint accept as well; drop
    UNTRACKED = "untracked"  # the same, and connection tracking never sees it


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
GOES_ON = (Letter.LOG, Letter.STAGED_LOG)
_DENIALS = (Letter.DENY, Letter.STAGED_DENY)
_PASSED = f"{_MARK} return"
_ADMIT = f"meta mark set meta mark | {_ADMITTED:#x} accept"
_ACCEPT = {
    Ending.PLAIN: ("accept",),
    Ending.REFUSED: ("accept",),
    Ending.ADMITTED: (_ADMIT,),
    Ending.UNTRACKED: ("notrack", _ADMIT),
}
_REFUSE = ("meta l4proto 6 reject with tcp reset", "reject with icmpx admin-prohibited")


class RuleKey(NamedTuple):
    """What is counted and logged."""

    letter: Letter
    direction: Where
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
        self._share = ""  # the chain that asks for what a sender is denied
        self.long_ids: dict[str, str] = {}  # rule ids by what stands for them in a prefix

    def goto(self, letter: Letter, direction: Where, rule: str, ending: Ending = Ending.PLAIN) -> str:
        """The statement that ends a rule with this verdict."""
        return f"goto {self.chain(letter, direction, rule, ending)}"

    def chain(self, letter: Letter, direction: Where, rule: str, ending: Ending = Ending.PLAIN) -> str:
        """The chain of this verdict. Those of Log and of staged rules return."""
        key = RuleKey(letter, direction, rule)
        final = _final(letter, ending)
        chain = name("verdict", *key, *final)
        if chain not in self._table.chains:
            self._table.add(Chain(chain, (self.count(key), *self._log(key), *final)))
        return chain

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
        rate = f"{self._logging.rate}/second burst {self._logging.burst} packets"
        log = f'log prefix "{start}{shown}" group {self._logging.group} snaplen 128'
        if key.letter not in _DENIALS:
            return (f"limit rate {rate} {log}",)
        self._share = self._share or share.add(self._table, _MARK)
        return f"limit rate over {rate} jump {self._share}", f"{_AUDIBLE} {log}"


def _final(letter: Letter, ending: Ending) -> tuple[str, ...]:
    if letter is Letter.ALLOW:
        return _ACCEPT[ending]
    if letter is Letter.DENY:
        return _REFUSE if ending is Ending.REFUSED else ("drop",)
    return (_PASSED,) if letter is Letter.NEXT else (f"{CLEAR} return",)
