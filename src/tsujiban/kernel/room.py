"""Keeps room in the node's table of connections, which is one for all its pods, for each of them.

When it is full the kernel takes no new connection, of nobody's, unless it finds one to give up that nobody
has answered. So when it is more than half full, who holds more than a pod's share of that half opens nothing
more until it is not: what is open goes on, and so do all others. Only then is there a table of rules for it.

Not `ct count` in the rules: the kernel walks through all that is counted every few milliseconds, finds at
most eight in it that have ended, and counts a refused connection as well for a while.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from tsujiban.kernel.conntrack import Conntrack
from tsujiban.kernel.keeper import TableKeeper
from tsujiban.kernel.nflog import Owners
from tsujiban.kernel.nft import Nft
from tsujiban.kernel.table import Chain, Hook, Set, Table
from tsujiban.kernel.verdicts import Letter, Logging, Verdicts
from tsujiban.policy.program import Direction

TABLE = "tsujiban-crowded"
CROWDED = "_kernel/connections"  # the rule id
_BEFORE_POLICY = -1  # which would say that it has allowed them


def table(crowded: frozenset[str], logging: Logging) -> Table:
    """The rules that let no new connection in by these interfaces."""
    made = Table(TABLE)
    refuse = Verdicts(made, logging).goto(Letter.DENY, Direction.EGRESS, CROWDED)
    made.add(Set("crowded", "ifname", dict.fromkeys(sorted(crowded), "")))
    for hook in ("forward", "input"):
        rule = f"ct state new iifname @crowded {refuse}"
        made.add(Chain(hook, (rule,), Hook("filter", hook, _BEFORE_POLICY)))
    return made


class Room:
    """The table of connections of the network namespace this is made in. Blocking, not thread-safe."""

    def __init__(self, *, most: int = 0, logging: Logging | None = None) -> None:
        """`most`: how many connections fit; 0 is what the kernel says."""
        self._nft = Nft()
        self._keeper = TableKeeper(self._nft, TABLE)
        self._conntrack = Conntrack()
        self._most = most
        self._logging = logging or Logging()
        self._crowded: frozenset[str] | None = None  # None: what an agent before has left

    def look(self, owners: Owners) -> frozenset[str]:
        """Refuse what is to be refused now; the interfaces of these pods. Raises NftError, OSError,
        InterruptedDumpError."""
        used, most = self._conntrack.fullness()
        half = (self._most or most) // 2
        crowded = self._above(half, owners) if used > half else frozenset()
        if crowded != self._crowded:
            if crowded:
                self._keeper.apply(table(crowded, self._logging))
            else:
                self._keeper.remove()
            self._crowded = crowded
        return crowded

    def _above(self, half: int, owners: Owners) -> frozenset[str]:
        """Who holds more than a pod's share."""
        interfaces = {endpoint: interface for interface, endpoint in owners.interfaces.items()}
        share = half // max(len(interfaces), 1)
        held = _by_endpoint(self._conntrack.by_source(), owners.addresses)
        return frozenset(
            interfaces[one] for one, count in held.items() if count > share and one in interfaces
        )

    def close(self) -> None:
        """Let go of the kernel. What is refused stays so."""
        self._keeper.close()
        self._conntrack.close()
        self._nft.close()


def _by_endpoint(sources: Mapping[str, int], owners: Mapping[str, str]) -> Counter[str]:
    held: Counter[str] = Counter()
    for address, count in sources.items():
        held[owners.get(address, "")] += count
    return held
