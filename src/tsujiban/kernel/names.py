"""Names inside nftables: stable, short, and safe to write into a ruleset.

nftables takes names of 127 bytes from a small alphabet and knows reserved words; policies are
called what users call them. Every name here is a kind and a hash of what it names, so that a
restarted agent arrives at the same names; the readable name goes into a comment. Whatever text
comes from outside passes one of these functions before it is written into a transaction.
"""

from __future__ import annotations

import functools
import hashlib
import re

LINK_PREFIX = "tsj"  # what the names of pods' links begin with, and of nothing else
PREFIX_BYTES = 127  # NF_LOG_PREFIXLEN - 1
COMMENT_BYTES = 120  # nft takes 128 and counts its own type and length bytes

_SAFE_ID = re.compile(r"[A-Za-z0-9._:/@+-]+")
_INTERFACE = re.compile(r"[A-Za-z0-9._-]{1,15}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@functools.lru_cache(maxsize=1 << 15)
def digest(*parts: str) -> str:
    """16 hex digits that stand for `parts`: 64 bits, so that no two names of a node collide."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def name(kind: str, *parts: str) -> str:
    """The name of an nftables object of `kind` that stands for `parts`."""
    return f"{kind}-{digest(kind, *parts)}"


def written(text: str, limit: int) -> str:
    """`text` as it may stand between quotes in at most `limit` bytes: itself, or `#` and its digest."""
    return text if _SAFE_ID.fullmatch(text) and len(text) <= limit else "#" + digest(text)


def interface(text: str) -> str:
    """`text` when it is the name of one network interface. Raises ValueError otherwise."""
    if not _INTERFACE.fullmatch(text):
        raise ValueError(f"{text!r} is not the name of a network interface")
    return text


def mac(text: str) -> str:
    """`text` as a MAC address in lower case. Raises ValueError otherwise."""
    if not _MAC.fullmatch(text.lower()):
        raise ValueError(f"{text!r} is not a MAC address")
    return text.lower()
