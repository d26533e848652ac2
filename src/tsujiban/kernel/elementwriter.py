"""Changes of sets' elements as raw netlink messages, in one transaction.

libnftables reads a whole interval set before it changes one element of it: nearly a second for
100 000. The kernel itself takes the change as it is. Only elements go this way; whatever changes
rules or sets goes through libnftables together with its elements, as one transaction too, so
that there is never a moment between them.

A range is two elements in the kernel: its first key, and the key after its last marked as an end.
Source: linux/netfilter/nf_tables.h, and nft's own segtree for what ranges look like.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tsujiban.kernel.netlink import NFTABLES, attribute, nested, open_socket, request
from tsujiban.kernel.nft import TransactionError
from tsujiban.kernel.table import Set

_INET = 1  # NFPROTO_INET
_NEW, _DELETE = 12, 14  # NFT_MSG_*SETELEM
_BATCH_BEGIN, _BATCH_END = 16, 17
_ACK, _CREATE = 0x4, 0x400
_TABLE, _SET, _ELEMENTS = 1, 2, 3  # NFTA_SET_ELEM_LIST_*
_ELEMENT = 1  # NFTA_LIST_ELEM
_KEY, _DATA, _FLAGS = 1, 2, 3  # NFTA_SET_ELEM_*
_VALUE, _VERDICT = 1, 2  # NFTA_DATA_*
_CODE, _CHAIN = 1, 2  # NFTA_VERDICT_*
_END = 1  # NFT_SET_ELEM_INTERVAL_END
_CODES = {"jump": -3, "goto": -4}
_PART = 32_000  # bytes of elements in one message; a netlink attribute holds 65 535
_SEND_BUFFER_FORCE = 32  # SO_SNDBUFFORCE: Python has no name for it
_BUFFER = 8 << 20
_RECEIVE = 1 << 16
_HEADER = struct.Struct("=IHHII")
_ERROR = 2


class Change(NamedTuple):
    """What has to leave one set or map and what has to be put there."""

    item: Set
    gone: dict[str, str]
    come: dict[str, str]


def _field(of: str, text: str) -> bytes:
    """One part of a key or of data, as the kernel holds it."""
    if of in ("ipv4_addr", "ipv6_addr"):
        return ipaddress.ip_address(text).packed
    if of == "inet_service":
        return struct.pack("!H", int(text))
    if of == "inet_proto":
        return struct.pack("!B", int(text))
    if of == "ether_addr":
        return bytes.fromhex(text.replace(":", ""))
    if of == "ifname":
        return text.encode().ljust(16, b"\0")
    raise ValueError(f"elements of type {of} are not known")


def encoded(types: str, text: str) -> bytes:
    """A value of a type or of a concatenation, each part of which is padded. Raises ValueError."""
    parts = types.split(" . ")
    if len(parts) == 1:
        return _field(types, text)
    fields = (_field(of, part) for of, part in zip(parts, text.split(" . "), strict=True))
    return b"".join(field + b"\0" * (-len(field) % 4) for field in fields)


def _data(item: Set, text: str) -> bytes:
    if item.data != "verdict":
        return nested(_DATA, attribute(_VALUE, encoded(item.data, text)))
    verb, _, chain = text.partition(" ")
    code = attribute(_CODE, struct.pack("!i", _CODES[verb]))
    return nested(_DATA, nested(_VERDICT, code, attribute(_CHAIN, chain.encode() + b"\0")))


def _element(key: bytes, *rest: bytes) -> bytes:
    return nested(_ELEMENT, nested(_KEY, attribute(_VALUE, key)), *rest)


def _elements(item: Set, elements: dict[str, str], adding: bool) -> Iterator[bytes]:
    for key, data in elements.items():
        if not item.interval:
            rest = (_data(item, data),) if item.data and adding else ()
            yield _element(encoded(item.type, key), *rest)
            continue
        first, _, last = key.partition("-")
        yield _element(encoded(item.type, first))
        upper = encoded(item.type, last or first)
        after = int.from_bytes(upper, "big") + 1
        if after < 1 << (8 * len(upper)):  # the end of everything needs none
            flags = attribute(_FLAGS, struct.pack("!I", _END))
            yield _element(after.to_bytes(len(upper), "big"), flags)


def _parts(elements: Iterable[bytes]) -> Iterator[bytes]:
    part: list[bytes] = []
    size = 0
    for element in elements:
        if size + len(element) > _PART and part:
            yield b"".join(part)
            part, size = [], 0
        part.append(element)
        size += len(element)
    if part:
        yield b"".join(part)


def batch(table: str, changes: Iterable[Change]) -> tuple[bytes, int]:
    """One transaction with all `changes`, and the number of its last message. What goes, goes first."""
    listed = list(changes)
    messages: list[tuple[int, int, bytes]] = []
    for kind, flags in ((_DELETE, 0), (_NEW, _CREATE)):
        for item, gone, come in listed:
            where = attribute(_TABLE, table.encode() + b"\0") + attribute(_SET, item.name.encode() + b"\0")
            found = gone if kind == _DELETE else come
            for part in _parts(_elements(item, found, kind == _NEW)):
                messages.append((kind, flags, where + nested(_ELEMENTS, part)))
    last = len(messages)
    text = [
        request(
            NFTABLES, kind, flags | (_ACK if number == last else 0), payload, family=_INET, sequence=number
        )
        for number, (kind, flags, payload) in enumerate(messages, start=1)
    ]
    begin = request(0, _BATCH_BEGIN, 0, resource=NFTABLES)
    end = request(0, _BATCH_END, 0, resource=NFTABLES, sequence=last + 1)
    return b"".join((begin, *text, end)), last


class ElementWriter:
    """Changes elements in the network namespace this is made in. Blocking, not thread-safe."""

    def __init__(self) -> None:
        self._socket = self._open()

    def _open(self) -> socket.socket:
        made = open_socket()
        made.setsockopt(socket.SOL_SOCKET, _SEND_BUFFER_FORCE, _BUFFER)
        return made

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def write(self, table: str, changes: Iterable[Change]) -> None:
        """Make all `changes`, or none. Raises TransactionError when the kernel refuses one of them."""
        message, last = batch(table, changes)
        try:
            self._socket.send(message)
            error = self._outcome(last)
        except OSError as failure:
            error = failure.errno or 0
        if error:
            self._socket.close()  # with the answers that may still come
            self._socket = self._open()
            raise TransactionError((), f"elements of table {table}: {os.strerror(error)}")

    def _outcome(self, last: int) -> int:
        """The first error, or 0 once the last message is acknowledged. Answers come in order."""
        while True:
            for number, error in answers(self._socket.recv(_RECEIVE)):
                if error or number == last:
                    return error


def answers(data: bytes) -> Iterator[tuple[int, int]]:
    """The acknowledgements in a datagram: the number of the message that each is for, and an errno or 0."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _, number, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            raise ValueError("a netlink message is longer than its datagram")
        if kind == _ERROR:
            yield number, -struct.unpack_from("=i", data, offset + _HEADER.size)[0]
        offset += (length + 3) & ~3
