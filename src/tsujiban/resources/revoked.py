"""The list of certificates that are not taken any more, though they have not expired: how it is written.

It is the key `revoked` of ConfigMap `tsujiban-revoked` in namespace `kube-system`, one entry a line; `#`
begins a comment:

- a SPIFFE ID: whoever proves it is refused, and it is signed for nobody;
- `serial:` and hexadecimal digits: one certificate;
- `node/NAME before=TIME`: all certificates of a node that were issued before; it may join again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from tsujiban.resources import spiffe

NAMESPACE, NAME, FIELD = "kube-system", "tsujiban-revoked", "revoked"
MAX_SERIALS = 1000  # each proxy holds them once for every context of TLS
MAX_SERIAL = 1 << 159  # RFC 5280 4.1.2.2: positive, and 20 bytes at most
_SERIAL = re.compile(r"serial:([0-9a-fA-F:]{1,80})")
_NODE = re.compile(r"(node/[a-z0-9.-]{1,253}) +before=(\S{1,40})")
_NODE_NAME = re.compile(r"node/[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_TIME = "%Y-%m-%dT%H:%M:%SZ"


class Fault(msgspec.Struct, frozen=True):
    """A line that says nothing, counted from 1."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


class Listed(msgspec.Struct, frozen=True):
    """What a list says."""

    identities: frozenset[str] = frozenset()
    serials: frozenset[str] = frozenset()  # hex, without leading zeros
    nodes: dict[str, float] = {}  # by name: what was issued before, UNIX seconds
    faults: tuple[Fault, ...] = ()


def entry(text: str) -> str:
    """One entry in its one spelling. Raises ValueError for what is none."""
    text = text.strip()
    serial = _SERIAL.fullmatch(text)
    if serial is not None and (digits := serial[1].replace(":", "")):
        number = int(digits, 16)
        if not 0 < number < MAX_SERIAL:
            raise ValueError(f"{text[:128]!r} is no serial number: they are positive, of 20 bytes at most")
        return f"serial:{number:x}"
    node = _NODE.fullmatch(text)
    if node is not None and _NODE_NAME.fullmatch(node[1]):
        return f"{node[1]} before={_stamp(_seconds(node[2]))}"
    if spiffe.parse(text) is None:
        raise ValueError(
            f"{text[:128]!r} is neither a SPIFFE ID nor serial:HEX nor node/NAME before=2026-01-31T12:00:00Z"
        )
    return text


def node_entry(name: str, before: float) -> str:
    """The entry for what was issued to a node until now. Raises ValueError for what is no node's name."""
    return entry(f"{name} before={_stamp(before)}")


def is_node(text: str) -> bool:
    """Whether it is `node/NAME`."""
    return _NODE_NAME.fullmatch(text) is not None


def subject(one: str) -> str:
    """Whom or what an entry is about: two about the same node are one too many."""
    return one.partition(" ")[0]


def read(text: str) -> Listed:
    """A list. A line that is no entry is a fault, and the others count."""
    identities: set[str] = set()
    serials: set[str] = set()
    nodes: dict[str, float] = {}
    faults: list[Fault] = []
    for number, line in enumerate(text.splitlines(), 1):
        said = line.partition("#")[0].strip()
        if not said:
            continue
        try:
            one = entry(said)
        except ValueError as error:
            faults.append(Fault(number, str(error)))
            continue
        if one.startswith("serial:"):
            serials.add(one.removeprefix("serial:"))
        elif one.startswith("node/"):
            name, _, stamp = one.removeprefix("node/").partition(" before=")
            nodes[name] = max(nodes.get(name, 0.0), _seconds(stamp))
        else:
            identities.add(one)
    return Listed(frozenset(identities), frozenset(serials), nodes, tuple(faults))


def told(faults: Iterable[Fault], limit: int = 3) -> str:
    """Faults for a person, in one line."""
    listed = list(faults)
    more = f"; and {len(listed) - limit} more" if len(listed) > limit else ""
    return "; ".join(map(str, listed[:limit])) + more


def _seconds(text: str) -> float:
    try:
        return datetime.strptime(text, _TIME).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise ValueError(f"{text!r} is no time: write it as 2026-01-31T12:00:00Z") from None


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime(_TIME)
