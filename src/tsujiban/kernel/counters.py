"""What the rules have counted: one counter a rule id, kept while the rule is in force.

The counters are objects of their own, so rewriting a chain, or restarting the agent, does not
set them back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tsujiban.kernel.nft import Nft
from tsujiban.kernel.render import TABLE
from tsujiban.kernel.table import FAMILY
from tsujiban.kernel.verdicts import RuleKey


class Count(NamedTuple):
    """How much has matched."""

    packets: int
    bytes: int


def counts(listing: Iterable[dict[str, Any]], keys: Mapping[str, RuleKey]) -> dict[RuleKey, Count]:
    """The counters of a listing whose names `keys` holds."""
    counters = (entry["counter"] for entry in listing if "counter" in entry)
    return {
        keys[counter["name"]]: Count(counter["packets"], counter["bytes"])
        for counter in counters
        if counter["name"] in keys
    }


def read_counts(nft: Nft, keys: Mapping[str, RuleKey]) -> dict[RuleKey, Count]:
    """The counters in the kernel whose names `keys` holds. Raises NftError."""
    return counts(nft.listing(f"list counters table {FAMILY} {TABLE}"), keys)
