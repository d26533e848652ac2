"""Each sender's own share of the log of denials, for what a rule logs no more because of others.

A rule stands for many endpoints (a tier's default, a policy of a hundred pods), and its limit is one: whoever
is denied most would have all of it, and others' denials would be in no record. So what is over the limit is
asked once more, of the sender: a pod of this node by its link, which no packet can forge and of which there
are as many as there are pods; anybody else by address, few records a second of all of them together, since
whoever writes packets outside may write any source. A table of senders that is full leaves newcomers what the
rules' limits leave them.
"""

from __future__ import annotations

from typing import NamedTuple

from tsujiban.kernel.names import LINK_PREFIX
from tsujiban.kernel.table import Chain, Set, Table


class Rate(NamedTuple):
    """How many records may be written: so many a second in the long run, so many at once."""

    rate: int
    burst: int

    def text(self) -> str:
        """As nft reads it."""
        return f"limit rate {self.rate}/second burst {self.burst} packets"


OWN = Rate(20, 100)  # of each sender
STRANGERS = Rate(500, 1000)  # of all together that are no pods of this node
_MOST_LINKS, _MOST_ADDRESSES = 4096, 4096
_FORGOTTEN_SECONDS = 10  # longer than an empty share takes to be full again


def add(table: Table, quiet: str) -> str:
    """The chain that does `quiet` to a packet whose sender has used up its share."""
    links = table.add(Set("denied-links", "ifname", size=_MOST_LINKS, timeout=_FORGOTTEN_SECONDS))
    rules = [
        f'iifname "{LINK_PREFIX}*" update @{links} {{ iifname {OWN.text()} }} return',
        f'iifname "{LINK_PREFIX}*" {quiet} return',
    ]
    for version, ip in ((4, "ip"), (6, "ip6")):
        addresses = table.add(
            Set(f"denied-{ip}", f"ipv{version}_addr", size=_MOST_ADDRESSES, timeout=_FORGOTTEN_SECONDS)
        )
        own = f"update @{addresses} {{ {ip} saddr {OWN.text()} }}"
        rules.append(f"{own} {STRANGERS.text()} return")
    return table.add(Chain("denied-share", (*rules, quiet)))
